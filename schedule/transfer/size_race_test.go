//go:build race

package transfer_test

const (
	histories         = 20
	poisonedHistories = 100
)
