//go:build !race

package transfer_test

// These are how many histories the simulations play. The race detector makes them slow, and finds in most what it finds in the first; the CI plays
// all of them, and thousands more, without it.
const (
	histories         = 60
	poisonedHistories = 200
)
