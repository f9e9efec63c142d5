//go:build !race

package imap

// These are the sizes of what is long by its number alone. The race detector makes that slow and finds in the thousandth of a kind no more than in
// the first, so with it they are smaller; the CI runs the tests that have them in full without it.
const (
	manyMarked     = 1_000_000
	manySettled    = 10_000
	scattered      = 1000
	manyAtDovecot  = 5000
	largeAtDovecot = 200 << 20
	everyFlood     = true
)
