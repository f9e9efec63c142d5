package injecttest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// proxySignature begins each header of version 2 (proxy-protocol.txt section 2.2).
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// proxied reads a header of the PROXY protocol and takes the client from it. It reports whether there was one.
func (c *conn) proxied() bool {
	start, err := c.r.Peek(len(proxySignature))
	if err != nil {
		return false
	}
	var from, to netip.AddrPort
	if string(start) == proxySignature {
		from, to, err = proxyV2(c.r)
	} else {
		from, to, err = proxyV1(c.r)
	}
	if err != nil {
		c.s.record("# " + err.Error())
		return false
	}
	c.s.record("C: PROXY " + from.String() + " " + to.String())
	c.client.Name, c.client.ReverseName = "unknown", "unknown" // nobody has looked it up
	c.client.Addr, c.client.Port = from.Addr().String(), fmt.Sprint(from.Port())
	c.client.DestAddr, c.client.DestPort = to.Addr().String(), fmt.Sprint(to.Port())
	return true
}

// proxyV1 reads a line of section 2.1: PROXY TCP4 SOURCE DESTINATION PORT PORT.
func proxyV1(r interface{ ReadString(byte) (string, error) }) (from, to netip.AddrPort, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return from, to, err
	}
	f := strings.Fields(line)
	if len(f) != 6 || f[0] != "PROXY" || !strings.HasSuffix(line, "\r\n") {
		return from, to, fmt.Errorf("no PROXY header: %q", line)
	}
	if from, err = netip.ParseAddrPort(join(f[2], f[4])); err != nil {
		return from, to, err
	}
	to, err = netip.ParseAddrPort(join(f[3], f[5]))
	return from, to, err
}

func join(addr, port string) string {
	if strings.Contains(addr, ":") {
		return "[" + addr + "]:" + port
	}
	return addr + ":" + port
}

// proxyV2 reads a header of section 2.2: signature, version and command, family, length, addresses and ports.
func proxyV2(r io.Reader) (from, to netip.AddrPort, err error) {
	head := make([]byte, len(proxySignature)+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return from, to, err
	}
	head = head[len(proxySignature):]
	rest := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(r, rest); err != nil {
		return from, to, err
	}
	size := map[byte]int{0x11: 4, 0x21: 16}[head[1]] // TCP over IPv4, over IPv6
	if head[0] != 0x21 || size == 0 || len(rest) < 2*size+4 {
		return from, to, fmt.Errorf("no client in the PROXY header %x %x", head, rest)
	}
	source, _ := netip.AddrFromSlice(rest[:size])
	destination, _ := netip.AddrFromSlice(rest[size : 2*size])
	ports := rest[2*size:]
	return netip.AddrPortFrom(source, binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(destination, binary.BigEndian.Uint16(ports[2:])), nil
}
