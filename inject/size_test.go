//go:build !race

package inject

// stuffedLength is how long the contents are that are all tried. The race detector makes them slow, and finds nothing in one that it does not find
// in another; the CI tries them in full without it.
const stuffedLength = 7
