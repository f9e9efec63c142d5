package pop3_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

const awkward = "Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n0123456789\r\n8-bit: \xff\xe4\r\n"

// real is a Dovecot and the TLS that trusts it.
type real struct {
	*fetchtest.Dovecot
	config *tls.Config
}

func (d *real) stls(o *pop3.Options) { o.StartTLS, o.TLS = true, d.config }

func (d *real) login(t *testing.T, change func(*pop3.Options)) (*pop3.Client, error) {
	t.Helper()
	opts := pop3.Options{Credentials: sasl.Credentials{User: d.User, Password: d.Password}}
	change(&opts)
	var client *pop3.Client
	var err error
	if opts.Secure {
		client, err = pop3.New(t.Context(), tls.Client(fetchtest.Dial(t, d.POP3SAddr), d.config), opts)
	} else {
		client, err = pop3.New(t.Context(), fetchtest.Dial(t, d.POP3Addr), opts)
	}
	if err == nil {
		t.Cleanup(client.Abort)
	}
	return client, err
}

// open logs in and lists.
func (d *real) open(t *testing.T, change func(*pop3.Options)) (*pop3.Client, []fetch.Ref) {
	t.Helper()
	client, err := d.login(t, change)
	if err != nil {
		t.Fatal(err)
	}
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return client, listing.Refs
}

// discard deletes the messages and checks how many are left.
func (d *real) discard(t *testing.T, client *pop3.Client, refs []fetch.Ref, left int) {
	t.Helper()
	failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs)
	if err != nil || failures != nil {
		t.Fatalf("Settle: %v, %v", failures, err)
	}
	if err := client.Close(t.Context()); err != nil || d.Count() != left {
		t.Fatalf("%d messages are left, want %d: %v", d.Count(), left, err)
	}
}

// TestDovecot speaks with a real server, by each way to log in.
func TestDovecot(t *testing.T) {
	dovecot := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	d := &real{dovecot, &tls.Config{RootCAs: dovecot.CA, ServerName: "localhost"}}
	mechanism := func(name string) func(*pop3.Options) {
		return func(o *pop3.Options) { d.stls(o); o.Credentials.Mechanism = sasl.Mechanism(name) }
	}
	for name, change := range map[string]func(*pop3.Options){
		"STLS":      d.stls,
		"plaintext": func(o *pop3.Options) { o.Credentials.AllowPlaintext = true },
		"POP3S":     func(o *pop3.Options) { o.Secure = true },
		"USER":      mechanism("USER"),
		"LOGIN":     mechanism("LOGIN"),
		"PLAIN":     mechanism("PLAIN"),
		"SCRAM":     mechanism("SCRAM-SHA-256"),
	} {
		t.Run(name, func(t *testing.T) { d.roundTrip(t, change) })
	}
	t.Run("wrong password", func(t *testing.T) {
		for _, name := range []string{"", "USER"} {
			_, err := d.login(t, func(o *pop3.Options) {
				mechanism(name)(o)
				o.Credentials.Password = "wrong"
			})
			wantKind(t, err, fetch.Auth, "")
		}
	})
	t.Run("abort", func(t *testing.T) {
		d.Deliver([]byte(awkward))
		client, refs := d.open(t, d.stls)
		if _, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs); err != nil {
			t.Fatal(err)
		}
		client.Abort()
		if d.Count() != 1 {
			t.Errorf("%d messages are left of 1", d.Count())
		}
	})
}

// TestDovecotLeave leaves a server that locks the mailbox for a session: the next one gets in, and finds what
// was deleted in the last.
func TestDovecotLeave(t *testing.T) {
	dovecot := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Config: "protocol pop3 {\n  pop3_lock_session = yes\n}\n"})
	d := &real{dovecot, &tls.Config{RootCAs: dovecot.CA, ServerName: "localhost"}}
	d.Deliver([]byte(awkward))
	for name, change := range map[string]func(*pop3.Options){
		"STLS":      d.stls,
		"plaintext": func(o *pop3.Options) { o.Credentials.AllowPlaintext = true },
		"POP3S":     func(o *pop3.Options) { o.Secure = true },
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				client, refs := d.open(t, change)
				if _, _, err := fetchtest.Collect(t.Context(), client, refs); err != nil || len(refs) != 1 {
					t.Fatalf("%d messages are listed of 1: %v", len(refs), err)
				}
				if _, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs); err != nil {
					t.Fatal(err)
				}
				if err := client.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// roundTrip retrieves 30 messages, deletes all but one, and then that.
func (d *real) roundTrip(t *testing.T, change func(*pop3.Options)) {
	for i := range 30 {
		d.Deliver(fmt.Appendf(nil, "X-Number: %d\r\n%s", i, awkward))
	}
	client, refs := d.open(t, change)
	octets, failed, err := fetchtest.Collect(t.Context(), client, refs)
	if err != nil || len(octets) != 30 || len(failed) > 0 {
		t.Fatalf("got %d messages, %v: %v", len(octets), failed, err)
	}
	numbers := map[string]bool{}
	for ref, raw := range octets {
		number, rest, _ := strings.Cut(string(raw), "\r\n")
		numbers[number] = true
		if rest != awkward {
			t.Fatalf("message %d came as %q", ref.Seq, raw)
		}
	}
	if len(numbers) != 30 {
		t.Fatalf("%d different messages of 30", len(numbers))
	}
	d.discard(t, client, refs[1:], 1)
	client, refs = d.open(t, d.stls)
	d.discard(t, client, refs, 0)
}
