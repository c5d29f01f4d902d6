package synth

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// maxPatients is how many different hospital numbers there are.
const maxPatients = 100_000_000

// hospitalNumber returns ten digits that look like an NHS number and cannot be one: the last digit is never the
// modulus-11 check digit of the first nine. Numbers of one seed are all different: i is mapped by a bijection.
func hospitalNumber(seed uint64, i int) string {
	// Multiplying by a number that shares no factor with the size of the space permutes it.
	n := (uint64(i)*48_271_003 + seed%maxPatients*7_919) % maxPatients
	digits := [10]byte{0: 9}
	for k := 8; k >= 1; k-- {
		digits[k] = byte(n % 10)
		n /= 10
	}
	digits[9] = byte((checkDigit(digits[:9]) + 1) % 10)
	for k := range digits {
		digits[k] += '0'
	}
	return string(digits[:])
}

// checkDigit is the modulus-11 digit of nine digits: 0 to 9, or 10 when the number has none and is never issued.
func checkDigit(digits []byte) int {
	sum := 0
	for k, d := range digits {
		sum += int(d) * (10 - k)
	}
	return (11 - sum%11) % 11
}

// identifier is a random UUID, version 4 by its bits, made by rng so that it is the same every time.
func identifier(rng *rand.Rand) string {
	var b [16]byte
	hi, lo := rng.Uint64(), rng.Uint64()
	for k := range 8 {
		b[k], b[8+k] = byte(hi>>(8*k)), byte(lo>>(8*k))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// postcode looks like a British one but starts with Q, which none does.
func postcode(rng *rand.Rand) string {
	const inward = "ABDEFGHJLNPQRSTUWXYZ" // letters of the second half
	var b strings.Builder
	b.WriteByte('Q')
	b.WriteByte("ABCDE"[rng.IntN(5)])
	b.WriteByte(byte('1' + rng.IntN(9)))
	b.WriteByte(' ')
	b.WriteByte(byte('0' + rng.IntN(10)))
	b.WriteByte(inward[rng.IntN(len(inward))])
	b.WriteByte(inward[rng.IntN(len(inward))])
	return b.String()
}
