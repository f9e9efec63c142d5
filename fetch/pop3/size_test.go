//go:build !race

package pop3_test

// These are the sizes of what is long by its number alone. The race detector makes that slow and finds in the thousandth of a kind no more than in
// the first, so with it they are smaller; the CI runs the tests that have them in full without it.
const (
	largeLines = 4_000_000 // 200 MB
	manyListed = 50_000
	listable   = 200_000 // the default
)
