package inject_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
)

// milterLog is a milter that lets everything pass and keeps the events before each recipient. It speaks version 6 of
// the protocol (libmilter/docs, mfdef.h in the sources of sendmail).
type milterLog struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu   sync.Mutex
	told map[string]milterEvents // by recipient
}

// milterEvents are what a milter was told up to a recipient.
type milterEvents struct {
	// connect is "name family address port", with the family's letter.
	connect, helo, from string
	// macros are those of all events, names without braces.
	macros map[string]string
}

func startMilterLog(t *testing.T) *milterLog {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &milterLog{listener: l, told: map[string]milterEvents{}}
	t.Cleanup(func() { // after Postfix, which keeps its connections until it ends
		_ = l.Close()
		m.serving.Wait()
	})
	m.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.serving.Go(func() { m.serve(conn) })
		}
	})
	return m
}

// serve takes events until Postfix hangs up.
func (m *milterLog) serve(conn net.Conn) {
	defer conn.Close()
	events := milterEvents{macros: map[string]string{}}
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(head[:4])
		if size == 0 || size > 1<<20 {
			return
		}
		data := make([]byte, size-1)
		if _, err := io.ReadFull(conn, data); err != nil {
			return
		}
		reply := []byte{0, 0, 0, 1, 'c'} // continue
		switch head[4] {
		case 'O': // options: version 6, no actions, no events for headers and body (SMFIP_NOBODY, NOHDRS, NOEOH, NOUNKNOWN, NODATA)
			reply = append([]byte{0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, 0x10|0x20|0x40|0x100|0x200)...)
		case 'D': // macros for the next event
			addMacros(events.macros, data)
			continue
		case 'A': // the end of a message that will not come
			continue
		case 'Q':
			return
		case 'K': // the end of a client
			events = milterEvents{macros: map[string]string{}}
			continue
		case 'C':
			events = milterEvents{connect: connectEvent(data), macros: events.macros}
		case 'H':
			events.helo = text(data)
		case 'M':
			events.from = text(data)
		case 'R':
			m.mu.Lock()
			m.told[strings.Trim(text(data), "<>")] = milterEvents{connect: events.connect, helo: events.helo, from: events.from, macros: maps.Clone(events.macros)}
			m.mu.Unlock()
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

// text is what stands before the first NUL.
func text(data []byte) string {
	before, _, _ := bytes.Cut(data, []byte{0})
	return string(before)
}

// connectEvent reads name, family, port and address.
func connectEvent(data []byte) string {
	name, rest, _ := bytes.Cut(data, []byte{0})
	if len(rest) < 3 {
		return fmt.Sprintf("%s %s", name, rest)
	}
	return fmt.Sprintf("%s %c %s %d", name, rest[0], text(rest[3:]), binary.BigEndian.Uint16(rest[1:3]))
}

// addMacros reads an event's letter and pairs of names and values.
func addMacros(macros map[string]string, data []byte) {
	fields := strings.Split(string(data[1:]), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		macros[strings.Trim(fields[i], "{}")] = fields[i+1]
	}
}
