package imap

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/sasl"
)

func TestDovecotLogin(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	for _, implicit := range []bool{true, false} {
		for _, mechanism := range []string{"", "PLAIN", "LOGIN", "SCRAM-SHA-256"} {
			o := dovecotOptions(d)
			o.Credentials.Mechanism = sasl.Mechanism(mechanism)
			c, err := dialDovecot(t.Context(), t, d, implicit, o)
			if err != nil {
				t.Errorf("%q, implicit TLS %v: %v", mechanism, implicit, err)
				continue
			}
			if err := c.Close(t.Context()); err != nil {
				t.Errorf("%q: Close: %v", mechanism, err)
			}
			if !implicit {
				continue
			}
			o.Credentials.Password = "wrong"
			if _, err := dialDovecot(t.Context(), t, d, implicit, o); fetch.KindOf(err) != fetch.Auth {
				t.Errorf("%q with a wrong password: got %v, want Kind auth", mechanism, err)
			}
		}
	}
}

func TestDovecotMessages(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	d.Create("Done")
	var want [][]byte
	for i := range 12 {
		want = append(want, fmt.Appendf(nil, "Subject: %d\r\n\r\n.\r\n%s", i, bytes.Repeat([]byte("text\r\n"), i*1000)))
		d.Deliver(want[i])
	}
	c, err := dialDovecot(t.Context(), t, d, false, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	octets, failed, err := fetchtest.Collect(t.Context(), c, listing.Refs)
	if err != nil || len(failed) > 0 || len(octets) != len(want) {
		t.Fatalf("%d messages, %v, %v", len(octets), failed, err)
	}
	for ref, raw := range octets {
		if !bytes.Equal(raw, want[ref.Seq-1]) {
			t.Errorf("UID %s: got %d octets, want %d", ref.UID, len(raw), len(want[ref.Seq-1]))
		}
	}
	for _, step := range []struct {
		d    fetch.Disposal
		refs []fetch.Ref
	}{
		{fetch.Disposal{Action: fetch.Delete}, listing.Refs[:3]},
		{fetch.Disposal{Action: fetch.Move, Target: "Done"}, listing.Refs[3:5]},
		{fetch.Disposal{Action: fetch.Flag}, listing.Refs[5:6]},
		{fetch.Disposal{Action: fetch.Flag, Target: `\Flagged`}, listing.Refs[6:7]},
		{fetch.Disposal{Action: fetch.Flag, Target: "$Fetched"}, listing.Refs[7:8]},
	} {
		if failures, err := c.Settle(t.Context(), step.d, step.refs); err != nil || len(failures) > 0 {
			t.Errorf("Settle %+v: %v, %v", step.d, failures, err)
		}
	}
	failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "Nowhere"}, listing.Refs[8:9])
	if err != nil || len(failures) != 1 || fetch.KindOf(failures[0].Err) != fetch.NoFolder {
		t.Errorf("Move to no folder: %v, %v; want one failure of Kind no-folder", failures, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := d.Flags("INBOX"), []string{"S", "F", "a", "", "", "", ""}; !slices.Equal(got, want) {
		t.Errorf("flags in the inbox %q, want %q", got, want)
	}
	if got := d.Messages("Done"); len(got) != 2 || !bytes.Equal(got[0], want[3]) {
		t.Errorf("%d messages in Done, want 2", len(got))
	}
}

// LOGINDISABLED on a real server, which Dovecot exempts its own address from.
func TestDovecotTLSOnly(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{TLSOnly: true, Mechanisms: []string{"plain"}})
	o := dovecotOptions(d)
	if _, err := New(t.Context(), fetchtest.Dial(t, d.IMAPAddr), o); fetch.KindOf(err) != fetch.TLS {
		t.Errorf("plaintext: got %v, want Kind tls", err)
	}
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", d.IMAPAddr)
	if err != nil {
		t.Fatal(err)
	}
	o.Credentials.AllowPlaintext = true
	if _, err := New(t.Context(), conn, o); fetch.KindOf(err) != fetch.Auth {
		t.Errorf("LOGINDISABLED: got %v, want Kind auth", err)
	}
}

// A large message costs no memory.
func TestDovecotLarge(t *testing.T) {
	const size = largeAtDovecot
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	raw := large(size)
	want := sha256.Sum256(raw)
	d.Deliver(raw)
	raw = nil
	c, err := dialDovecot(t.Context(), t, d, true, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	before, most, begun := heapInUse(), uint64(0), time.Now()
	hash := sha256.New()
	err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		if m.Err != nil || m.Size != size {
			t.Errorf("Size %d, %v", m.Size, m.Err)
			return m.Err
		}
		for err == nil {
			_, err = io.CopyN(hash, m.Body, size/16)
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			most = max(most, s.HeapInuse)
		}
		if err == io.EOF {
			return nil
		}
		return err
	})
	if err != nil || [32]byte(hash.Sum(nil)) != want {
		t.Fatalf("the message is not the same: %v", err)
	}
	if most > before+16<<20 {
		t.Errorf("%d MiB of heap, %d before", most>>20, before>>20)
	}
	t.Logf("%d MiB in %v, heap %d KiB above %d", size>>20, time.Since(begun), int64(most-before)>>10, before>>10)
}

// large makes lines of text, a block of random ones again and again.
func large(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	block := make([]byte, 10_000*76)
	for i := range block {
		block[i] = 'a' + byte(random.Uint32()%26)
		switch i % 76 {
		case 74:
			block[i] = '\r'
		case 75:
			block[i] = '\n'
		}
	}
	raw := bytes.Repeat(block, size/len(block)+1)[:size]
	copy(raw, "Subject: large\r\n\r\n")
	copy(raw[size-2:], "\r\n")
	return raw
}

func TestDovecotMany(t *testing.T) {
	const n = manyAtDovecot
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	for i := range n {
		d.Deliver(fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i))
	}
	c, err := dialDovecot(t.Context(), t, d, true, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "")
	if err != nil || len(listing.Refs) != n {
		t.Fatalf("%d messages of %d: %v", len(listing.Refs), n, err)
	}
	// Every other one: the set is as long as sets get.
	var odd, even []fetch.Ref
	for i, ref := range listing.Refs {
		if i%2 == 0 {
			odd = append(odd, ref)
		} else {
			even = append(even, ref)
		}
	}
	seen := 0
	err = c.Retrieve(t.Context(), odd, func(m fetch.Message) error {
		raw, err := io.ReadAll(m.Body)
		if want := fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", m.Ref.Seq-1); string(raw) != want {
			t.Errorf("UID %s: got %q", m.Ref.UID, raw)
		}
		seen++
		return err
	})
	if err != nil || seen != len(odd) {
		t.Fatalf("%d messages of %d: %v", seen, len(odd), err)
	}
	if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, odd); err != nil || len(failures) > 0 {
		t.Fatalf("Settle: %v, %v", failures, err)
	}
	if listing, err = c.Open(t.Context(), ""); err != nil || !slices.Equal(listing.Refs, even) {
		t.Errorf("left are %d, want %d (%v)", len(listing.Refs), len(even), err)
	}
}

func TestDovecotWatch(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	c, err := dialDovecot(t.Context(), t, d, false, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	d.Deliver([]byte("Subject: a\r\n\r\n"))
	if arrived, err := c.Watch(t.Context(), 20*time.Second); !arrived || err != nil {
		t.Errorf("a message came: %v, %v", arrived, err)
	}
}

// Neither the log nor an error holds the password.
func TestDovecotTrace(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	d.Deliver([]byte("Subject: canary\r\n\r\n"))
	var said strings.Builder
	for _, mechanism := range []string{"", "PLAIN", "LOGIN"} {
		o := dovecotOptions(d)
		o.Credentials.Mechanism = sasl.Mechanism(mechanism)
		o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c, err := dialDovecot(t.Context(), t, d, false, o)
		if err != nil {
			t.Fatal(err)
		}
		listing, err := c.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := fetchtest.Collect(t.Context(), c, listing.Refs); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	trace := said.String()
	for _, secret := range []string{
		d.Password, "canary",
		base64.StdEncoding.EncodeToString([]byte(d.Password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + d.User + "\x00" + d.Password)),
	} {
		if strings.Contains(trace, secret) {
			t.Errorf("the log holds %q:\n%s", secret, trace)
		}
	}
	if !strings.Contains(trace, "UID FETCH 1 (UID BODY.PEEK[])") || !strings.Contains(trace, "STARTTLS") {
		t.Errorf("the log lacks the dialogue:\n%s", trace)
	}
}
