//go:build !race

package ledger_test

// stride is how far apart the steps and octets are that the long tests try: each of them, but for the race
// detector, which makes them slow and finds nothing in most.
const stride = 1
