//go:build race

package received

const (
	longScan    = 256 << 10
	hostileSize = maxHeader / 32
	randomTexts = 10_000
)
