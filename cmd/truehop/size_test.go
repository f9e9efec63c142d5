//go:build !race

package main

// These are the sizes of what is large by number alone. The other end is slow at them under the race detector, which finds nothing more in them;
// the CI runs the tests that have them in full without it.
const (
	largeOctets    = 200 << 20
	manyMessages   = 50_000
	someMessages   = 1000
	largeExplained = 100 << 20
	manyExplained  = 5000
)
