//go:build !unix

package inject

// peek reports whether there is something to read.
func (w *wire) peek() (bool, error) { return w.peekReader() }
