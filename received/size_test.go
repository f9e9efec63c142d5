//go:build !race

package received

// These are the sizes of what is long by its number alone. The race detector makes that slow and finds in the thousandth of a kind no more than in
// the first, so with it they are smaller; the CI runs the tests that have them in full without it.
const (
	longScan    = 4 << 20
	hostileSize = maxHeader / 4
	randomTexts = 200_000
)
