package lake

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// memoryShares shares Options.MemoryMB out among the sessions that write, which are the ones that sort, join and buffer: each
// may use half of the total when it comes alone, else a quarter, and waits in turn while not even that is free. So up to
// four of them run at once and together stay below the total, and what does not fit goes to disk.
//
// A session that only reads never waits, because a write may be waiting for its rows. It is limited to a quarter of the
// total on top; what it streams needs far less.
type memoryShares struct {
	totalMB int
	free    *semaphore.Weighted
}

const (
	// leastShareMB is what any session needs to read a file; leastMemoryMB is room for two of them.
	leastShareMB  = 128
	leastMemoryMB = 2 * leastShareMB
	// threadMB is what a thread has to have: its buffers for JSON are 32 MB, and it writes a group of rows beside.
	threadMB = 64
)

func newMemory(totalMB int) *memoryShares {
	return &memoryShares{totalMB: totalMB, free: semaphore.NewWeighted(int64(totalMB))}
}

// reading is the share of a session that only reads.
func (m *memoryShares) reading() int { return max(m.totalMB/4, leastShareMB) }

// threads is how many of the wanted threads a share has room for.
func threads(wanted, shareMB int) int { return max(1, min(wanted, shareMB/threadMB)) }

// writing waits for the share of a session that writes. The caller calls release when the session is closed.
func (m *memoryShares) writing(ctx context.Context) (shareMB int, release func(), err error) {
	shareMB = max(m.totalMB/4, leastShareMB)
	if m.free.TryAcquire(int64(m.totalMB)) { // Nobody else writes.
		shareMB = max(m.totalMB/2, leastShareMB)
		m.free.Release(int64(m.totalMB - shareMB))
	} else if m.free.Acquire(ctx, int64(shareMB)) != nil {
		return 0, nil, context.Cause(ctx)
	}
	return shareMB, func() { m.free.Release(int64(shareMB)) }, nil
}
