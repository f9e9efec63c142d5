package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The values that are words of this package's own: they choose between packages, or say how a connection is
// made. All other words belong to the packages that act on them.

// Protocol is what an upstream speaks.
type Protocol uint8

// The protocols.
const (
	IMAP Protocol = iota
	POP3
)

// TLSMode is how a connection is protected.
type TLSMode uint8

// The ways to protect a connection.
const (
	// ImplicitTLS begins with the first octet.
	ImplicitTLS TLSMode = iota
	// StartTLS begins at a command.
	StartTLS
	// NoTLS never begins.
	NoTLS
)

// Pipelining says whether commands are sent together.
type Pipelining uint8

// Whether they are.
const (
	AutoPipelining Pipelining = iota
	NoPipelining
)

// LogFormat is the form of a line of the log.
type LogFormat uint8

// The forms of a line.
const (
	// AutoFormat is JournalFormat under systemd, else TextFormat.
	AutoFormat LogFormat = iota
	TextFormat
	JSONFormat
	JournalFormat
)

// AddressDetail is how much of a mail address is logged.
type AddressDetail uint8

// How much is logged, from the default on.
const (
	// DomainOnly leaves out the part before the at sign.
	DomainOnly AddressDetail = iota
	FullAddress
	NoAddress
)

// AddressFamily is which addresses of a host are tried.
type AddressFamily uint8

// The families.
const (
	AnyFamily AddressFamily = iota
	IPv4Only
	IPv6Only
)

// TLSVersion is a version of TLS, in the numbers of [crypto/tls].
type TLSVersion uint16

// The versions.
const (
	TLS12 TLSVersion = tls.VersionTLS12
	TLS13 TLSVersion = tls.VersionTLS13
)

// Words returns the configuration word of each constant, indexed by its value.
func (Protocol) Words() []string { return []string{IMAP: "imap", POP3: "pop3"} }

// Words returns the configuration word of each constant, indexed by its value.
func (TLSMode) Words() []string {
	return []string{ImplicitTLS: "implicit", StartTLS: "starttls", NoTLS: "none"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (Pipelining) Words() []string { return []string{AutoPipelining: "auto", NoPipelining: "off"} }

// Words returns the configuration word of each constant, indexed by its value.
func (LogFormat) Words() []string {
	return []string{AutoFormat: "auto", TextFormat: "text", JSONFormat: "json", JournalFormat: "journal"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (AddressDetail) Words() []string {
	return []string{DomainOnly: "domain", FullAddress: "full", NoAddress: "none"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (AddressFamily) Words() []string {
	return []string{AnyFamily: "any", IPv4Only: "ipv4", IPv6Only: "ipv6"}
}

// Words returns the versions as people write them.
func (TLSVersion) Words() []string { return []string{"1.2", "1.3"} }

// String, MarshalText and UnmarshalText speak in those words.

func (p Protocol) String() string                { return word(p) }
func (p Protocol) MarshalText() ([]byte, error)  { return []byte(word(p)), nil }
func (p *Protocol) UnmarshalText(b []byte) error { return setByWord(p, b) }

func (m TLSMode) String() string                { return word(m) }
func (m TLSMode) MarshalText() ([]byte, error)  { return []byte(word(m)), nil }
func (m *TLSMode) UnmarshalText(b []byte) error { return setByWord(m, b) }

func (p Pipelining) String() string                { return word(p) }
func (p Pipelining) MarshalText() ([]byte, error)  { return []byte(word(p)), nil }
func (p *Pipelining) UnmarshalText(b []byte) error { return setByWord(p, b) }

func (f LogFormat) String() string                { return word(f) }
func (f LogFormat) MarshalText() ([]byte, error)  { return []byte(word(f)), nil }
func (f *LogFormat) UnmarshalText(b []byte) error { return setByWord(f, b) }

func (d AddressDetail) String() string                { return word(d) }
func (d AddressDetail) MarshalText() ([]byte, error)  { return []byte(word(d)), nil }
func (d *AddressDetail) UnmarshalText(b []byte) error { return setByWord(d, b) }

func (f AddressFamily) String() string                { return word(f) }
func (f AddressFamily) MarshalText() ([]byte, error)  { return []byte(word(f)), nil }
func (f *AddressFamily) UnmarshalText(b []byte) error { return setByWord(f, b) }

func (v TLSVersion) String() string               { return word(v - TLS12) }
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
func (v *TLSVersion) UnmarshalText(b []byte) error {
	if err := setByWord(v, b); err != nil {
		return err
	}
	*v += TLS12 // the numbers of the versions follow each other
	return nil
}

// word returns the word for v, or its number where it is no constant.
func word[T interface {
	~uint8 | ~uint16
	worded
}](v T) string {
	if words := v.Words(); int(v) < len(words) {
		return words[v]
	}
	return strconv.Itoa(int(v))
}

// setByWord sets v to the number of text among its words.
func setByWord[T interface {
	~uint8 | ~uint16
	worded
}](v *T, text []byte) error {
	words := (*v).Words()
	i := slices.Index(words, string(text))
	if i < 0 {
		return fmt.Errorf("unknown value %s; want one of %s", show(string(text)), strings.Join(words, ", "))
	}
	*v = T(i)
	return nil
}
