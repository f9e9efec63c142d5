package inject

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// proxy sends the PROXY header, which comes before all else on a connection.
func (s *Session) proxy(c Client) *Error {
	header, err := proxyHeader(c, s.o.Carrier, s.w.conn.RemoteAddr())
	if err != nil {
		return &Error{Kind: Unsendable, Op: "PROXY", Err: err}
	}
	shown := strings.TrimSpace(string(header))
	if s.o.Carrier == PROXYv2 {
		shown = fmt.Sprintf("(PROXY v2 header of %d octets for %s)", len(header), c.Addr)
	}
	s.proxied = &c
	s.w.putRaw(shown, header)
	if _, err := s.w.flush(s.o.Timeouts.Greeting); err != nil {
		return classify("PROXY", err)
	}
	return nil
}

// noProxyHeader reports whether a reply shows that the server took a PROXY header for a command, or for a client
// that speaks before the greeting (Exim).
func noProxyHeader(reply Reply) bool {
	if reply.Code == 500 || reply.Code == 502 {
		return true
	}
	text := strings.ToLower(reply.Text)
	early := strings.Contains(text, "synchroni") || strings.Contains(text, "pipelining") || strings.Contains(text, "pre-greeting")
	return reply.class() == 5 && early
}

// proxyNotTaken is the error of a listener that expects no PROXY header: every message would meet it.
func proxyNotTaken(reply Reply) *Error {
	return &Error{Kind: Misconfigured, Op: "PROXY", Reply: reply, Text: "the listener expects no PROXY header",
		Advice: "set carrier: xclient if this is Postfix, else have the listener expect the PROXY protocol from this host"}
}

// proxyAttributes are what a PROXY header says, by XCLIENT's names for them.
var proxyAttributes = []string{"ADDR", "PORT", "DESTADDR", "DESTPORT"}

// proxySignature begins each header of version 2 (proxy-protocol.txt section 2.2).
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// proxyHeader builds the header of proxy-protocol.txt sections 2.1 and 2.2. The destination is the
// one recorded, else that of the connection, else loopback, in the family of the source.
func proxyHeader(c Client, version Carrier, peer net.Addr) ([]byte, error) {
	if !c.Addr.IsValid() {
		return nil, fmt.Errorf("the client is unknown, and PROXY cannot say so")
	}
	src, dst, port := c.Addr.Unmap(), netip.IPv6Loopback(), c.DestPort
	if port == 0 {
		port = 25
	}
	if c.DestAddr.IsValid() {
		dst = c.DestAddr.Unmap()
	} else if tcp, ok := peer.(*net.TCPAddr); ok {
		dst = tcp.AddrPort().Addr().Unmap()
	}
	if dst.Is4() != src.Is4() {
		dst = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if src.Is6() {
			dst = netip.IPv6Loopback()
		}
	}
	if version == PROXYv1 {
		family := "TCP4"
		if src.Is6() {
			family = "TCP6"
		}
		// Exim does not accept port 0 in version 1, and there is no other way to say unknown.
		return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, src, dst, max(c.Port, 1), port), nil
	}
	family := byte(0x11) // TCP over IPv4
	if src.Is6() {
		family = 0x21
	}
	addrs := append(src.AsSlice(), dst.AsSlice()...)
	addrs = binary.BigEndian.AppendUint16(addrs, c.Port)
	addrs = binary.BigEndian.AppendUint16(addrs, port)
	header := append([]byte(proxySignature), 0x21, family) // version 2, command PROXY
	header = binary.BigEndian.AppendUint16(header, uint16(len(addrs)))
	return append(header, addrs...), nil
}
