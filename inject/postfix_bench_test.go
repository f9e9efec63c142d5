//go:build unix

package inject_test

import (
	"fmt"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// BenchmarkPostfix measures the road into a real Postfix, which discards what it has queued.
func BenchmarkPostfix(b *testing.B) {
	p := injecttest.StartPostfix(b, injecttest.PostfixOptions{Main: []string{"virtual_transport = discard:"}})
	for _, listener := range []string{injecttest.ListenAll, injecttest.ListenUnix, injecttest.ListenOnce} {
		for _, conns := range []inject.Connections{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("%s/sessions=%d", listener, conns), func(b *testing.B) {
				p.Mail() // waits until the queue is empty
				benchmark(b, p.Dialer(listener), inject.Options{Connections: conns})
			})
		}
	}
}
