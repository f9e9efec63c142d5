//go:build race

package imap

const (
	manyMarked     = 20_000
	manySettled    = 4000
	scattered      = 400
	manyAtDovecot  = 1500
	largeAtDovecot = 20 << 20
	everyFlood     = false
)
