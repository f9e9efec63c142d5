package transfer

// ErrSpool is what a write to the spool fails with.
var ErrSpool = errSpool
