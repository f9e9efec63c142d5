//go:build race

package inject

const stuffedLength = 5
