//go:build race

package pop3_test

const (
	largeLines = 400_000
	manyListed = 10_000
	listable   = 20_000
)
