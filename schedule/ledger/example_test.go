package ledger_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"os"

	"github.com/truehop/truehop/schedule/ledger"
)

// A program records each message before it ends the transfer and after the MTA has replied, each
// time durably. What stands between the two at the next start is in doubt.
func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := deliver(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// message 1: sending, in doubt true, final false
	// message 1: delivered, in doubt false, final true
	// messages that want a person: 0
}

func deliver(ctx context.Context, dir string) error {
	l, err := ledger.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer l.Close()
	unlock, err := l.Lock("work")
	if err != nil {
		return err // another process works on the account
	}
	defer unlock()

	r := ledger.Record{
		Key:   ledger.Key{Account: "work", Folder: "INBOX", Validity: 1, UID: "1", Hash: sha256.Sum256([]byte("Subject: hello\r\n\r\n"))},
		Token: "ab12cd",
	}
	for _, r.State = range []ledger.State{ledger.Sending, ledger.Delivered} {
		if err := l.Put(ctx, r); err != nil {
			return err
		}
		briefs, err := l.Briefs(ctx, "work", "INBOX", 1)
		if err != nil {
			return err
		}
		for uid, bs := range briefs {
			s := bs[0].State
			fmt.Printf("message %s: %s, in doubt %v, final %v\n", uid, s, s.InDoubt(), s.Final())
		}
	}
	wanting, err := l.List(ctx, ledger.Filter{Account: "work", States: ledger.StatesWhere(ledger.State.WantsPerson)})
	if err != nil {
		return err
	}
	fmt.Printf("messages that want a person: %d\n", len(wanting))
	return nil
}
