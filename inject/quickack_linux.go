package inject

import (
	"crypto/tls"
	"net"
	"syscall"
)

// quickAck acknowledges what has been received without the usual delay. An MTA that
// answers two commands in two writes holds the second back until the first is
// acknowledged (Nagle, RFC 896), and we, with nothing to send, would take 40 ms for that.
// Postfix does so when the end of its read buffer falls between a dot and the XCLIENT after it.
func quickAck(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
