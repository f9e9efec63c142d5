package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health says whether a service works: late are the parts of it that do not show that they live, ready says that it makes passes.
type Health func() (late []string, ready bool)

// Server serves /metrics, /healthz and /readyz.
type Server struct {
	http    *http.Server
	serving sync.WaitGroup
	ended   error // why it no longer serves, once serving is over
}

// endTime is how long requests under way may take when the server ends.
const endTime = 2 * time.Second

// ListenError says that no monitor can be answered at an address.
type ListenError struct{ Err error }

func (e *ListenError) Error() string { return "metrics: " + e.Err.Error() }

// Unwrap returns why.
func (e *ListenError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ListenError) Hint() string {
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		return "another program has the address, which ss -lp names: end it, or set metrics to another address"
	}
	return "set metrics to an address of this host, or to a socket in a directory where truehop may write"
}

// Listen serves at a TCP address or on a UNIX socket, see [net.Listen].
func (m *Metrics) Listen(network, address string, health Health) (*Server, error) {
	listener, err := listen(network, address)
	if err != nil {
		return nil, &ListenError{err}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		late, _ := health()
		answer(w, len(late) == 0, "late: "+strings.Join(late, ", "))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		_, ready := health()
		answer(w, ready, "not ready")
	})
	s := &Server{http: &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}}
	s.serving.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.ended = err
		}
	})
	return s, nil
}

// answer says in one line whether all is well.
func answer(w http.ResponseWriter, ok bool, trouble string) {
	if !ok {
		http.Error(w, trouble, http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // or nobody wants it any more
}

// listen makes a listener. A UNIX socket that a process has left behind that was killed is replaced.
func listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if network != "unix" || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	if conn, dialled := net.Dial(network, address); dialled == nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := os.Remove(address); err != nil {
		return nil, err
	}
	return net.Listen(network, address)
}

// Close ends the server, and returns what was wrong with it.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	s.serving.Wait()
	return errors.Join(err, s.ended)
}
