package fakeserver

import (
	"net"
	"sync"
)

// Server accepts connections and owns the goroutines that serve them.
type Server struct {
	listener net.Listener
	serve    func(net.Conn)
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
}

// Serve runs serve for every connection of listener until Close. serve owns the
// connection.
func Serve(listener net.Listener, serve func(net.Conn)) *Server {
	s := &Server{listener: listener, serve: serve, conns: map[net.Conn]bool{}}
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			closed := s.closed
			s.mu.Unlock()
			if closed {
				_ = conn.Close()
				return
			}
			s.wg.Go(func() {
				defer func() {
					_ = conn.Close()
					s.mu.Lock()
					defer s.mu.Unlock()
					delete(s.conns, conn)
				}()
				s.serve(conn)
			})
		}
	})
	return s
}

// Addr is the address listened at, "127.0.0.1:port" for a server of [Listen].
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening, drops all connections and waits for their goroutines.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
