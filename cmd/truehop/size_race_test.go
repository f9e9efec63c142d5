//go:build race

package main

const (
	largeOctets    = 40 << 20
	manyMessages   = 5000
	someMessages   = 200
	largeExplained = 20 << 20
	manyExplained  = 1000
)
