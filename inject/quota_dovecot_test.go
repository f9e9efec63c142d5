//go:build unix

package inject_test

import (
	"path/filepath"
	"testing"

	"github.com/truehop/truehop/inject"
)

// oneMessageEach is a quota that one message fills.
const oneMessageEach = `
protocol lmtp {
  mail_plugins = quota
}
plugin {
  quota = maildir:User quota
  quota_rule = *:messages=1
  quota_grace = 0
}
`

// TestDovecotOneUserOverQuota: of two recipients at a real LMTP server one is over quota, and the verdict on each is its own.
func TestDovecotOneUserOverQuota(t *testing.T) {
	d := startDovecotLMTP(t, oneMessageEach)
	full, both := message(1), message(2)
	full.To, both.To = []string{"full@example.org"}, []string{"full@example.org", "free@example.org"}
	rs := injectAll(t, dialTo(t, d.addr), inject.Options{Dialect: inject.LMTP, Connections: 1}, full, both)
	if rs[0].Outcome != inject.Delivered {
		t.Fatalf("into the empty mailbox: %+v, err %v", rs[0], rs[0].Err)
	}
	got := map[string]inject.RecipientReceipt{}
	for _, r := range rs[1].Recipients {
		got[r.Address] = r
	}
	if over := got["full@example.org"]; over.Outcome != inject.Refused || over.Reply.Code != 552 || over.Reply.Enhanced != "5.2.2" {
		t.Errorf("who is over quota: %+v", over)
	}
	if free := got["free@example.org"]; free.Outcome != inject.Delivered {
		t.Errorf("the other: %+v", free)
	}
	if len(got) != 2 {
		t.Errorf("receipts of %d recipients: %+v", len(got), rs[1])
	}
	for _, user := range []string{"full", "free"} {
		stored(t, filepath.Join(d.dir, "mail", user)) // one message
	}
}
