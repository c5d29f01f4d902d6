package compliance

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// sortByNumber orders controls as their standard does: 3.10 comes after 3.9.
func sortByNumber(controls []asked) {
	slices.SortStableFunc(controls, func(a, b asked) int { return compareNumbers(a.ID, b.ID) })
}

// compareNumbers compares numbers part by part.
func compareNumbers(a, b string) int {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(left), len(right)) {
		x, _ := strconv.Atoi(left[i])
		y, _ := strconv.Atoi(right[i])
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(left), len(right))
}
