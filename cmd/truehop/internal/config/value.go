package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Size is a number of octets. In text it has a unit: B, KB, MB, GB, TB (powers
// of 1000) or KiB, MiB, GiB, TiB (powers of 1024). Only 0 needs none.
type Size int64

// UnmarshalText reads a size such as 50MiB.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	if t == "0" {
		*s = 0
		return nil
	}
	digits := strings.TrimRight(t, "BKMGTiakmgtb ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || digits[0] == '+' {
		return errors.New("want a size such as 50MiB")
	}
	unit := unitOf(strings.TrimSpace(t[len(digits):]))
	if unit == 0 {
		return errors.New("needs a unit, such as 50MiB (or KB, MB, GB, KiB, GiB)")
	}
	if n > math.MaxInt64/unit {
		return errors.New("is too large")
	}
	*s = Size(n * unit)
	return nil
}

func unitOf(name string) int64 {
	switch name {
	case "B":
		return 1
	case "KB", "kB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "KiB":
		return 1 << 10
	case "MiB":
		return 1 << 20
	case "GiB":
		return 1 << 30
	case "TiB":
		return 1 << 40
	}
	return 0
}

// String prints the size in the largest unit that loses nothing.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	units := []string{"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"}
	for _, name := range units {
		if unit := Size(unitOf(name)); s%unit == 0 {
			return strconv.FormatInt(int64(s/unit), 10) + name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Endpoint is where the MTA listens.
type Endpoint struct {
	// Network is "unix" or "tcp", Address what [net.Dial] wants with it.
	Network, Address string
}

// UnmarshalText reads unix:/PATH or HOST:PORT.
func (e *Endpoint) UnmarshalText(text []byte) error {
	s := string(text)
	if file, ok := strings.CutPrefix(s, "unix:"); ok {
		if !path.IsAbs(file) {
			return errors.New("the socket needs an absolute path: unix:/PATH")
		}
		// sun_path of unix(7) holds 108 octets with the closing NUL.
		if len(file) > 107 {
			return errors.New("the path of a UNIX socket has 107 octets at most")
		}
		*e = Endpoint{Network: "unix", Address: path.Clean(file)}
		return nil
	}
	if strings.HasPrefix(s, "/") {
		return fmt.Errorf("write unix:%s for a UNIX socket", s)
	}
	if _, _, err := splitHostPort(s); err != nil {
		return err
	}
	*e = Endpoint{Network: "tcp", Address: s}
	return nil
}

// String is the form that UnmarshalText reads.
func (e Endpoint) String() string {
	if e.Network == "unix" {
		return "unix:" + e.Address
	}
	return e.Address
}

// Host returns the host of a TCP endpoint, "" for a UNIX socket.
func (e Endpoint) Host() string {
	if e.Network != "tcp" {
		return ""
	}
	host, _, _ := splitHostPort(e.Address)
	return host
}

// Loopback reports whether a TCP endpoint is this host by its name or address.
func (e Endpoint) Loopback() bool {
	host := e.Host()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

const mask = "***"

// Secret is a password. However it is printed, it prints as ***; only Reveal
// gives it away. It is not comparable on purpose: use IsZero.
type Secret struct {
	// A pointer, so that not even fmt's walk over the unexported field of a
	// struct around it finds the octets.
	value *string
}

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{value: &s} }

// Reveal returns the password itself. Hand it to the login and to nothing else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no password.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String returns ***.
func (Secret) String() string { return mask }

// GoString returns ***.
func (Secret) GoString() string { return mask }

// Format prints *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText returns ***.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue returns ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// UnmarshalText wraps text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
