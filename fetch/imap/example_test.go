package imap_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
)

// One session: list, retrieve, move. What Settle did is final when it returns.
func ExampleNew() {
	store := fakeserver.NewStore()
	store.Create("Done")
	store.Add("", []byte("Subject: first\r\n\r\nbody\r\n"))
	store.Add("", []byte("Subject: second\r\n\r\n"))
	server := &fakeserver.IMAP{Store: store, User: "alice", Password: "sesame"}
	conn, far := net.Pipe()
	go server.Serve(far) // ends with the connection

	ctx := context.Background()
	mailbox, err := imap.New(ctx, conn, imap.Options{
		Credentials: sasl.Credentials{User: "alice", Password: "sesame", AllowPlaintext: true},
		MaxSize:     50 << 20,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mailbox.Abort()
	listing, err := mailbox.Open(ctx, "INBOX")
	if err != nil {
		fmt.Println(err)
		return
	}
	var complete []fetch.Ref
	err = mailbox.Retrieve(ctx, listing.Refs, func(m fetch.Message) error {
		if m.Err != nil {
			fmt.Printf("UID %s: %v\n", m.Ref.UID, m.Err)
			return nil // the others go on
		}
		octets, err := io.ReadAll(m.Body)
		if err != nil {
			return err // it is not complete
		}
		fmt.Printf("UID %s: %q\n", m.Ref.UID, octets)
		complete = append(complete, m.Ref)
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	failures, err := mailbox.Settle(ctx, fetch.Disposal{Action: fetch.Move, Target: "Done"}, complete)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("moved, failed:", len(complete)-len(failures), len(failures))
	fmt.Println("INBOX, Done:", len(store.UIDs("")), len(store.UIDs("Done")))
	if err := mailbox.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// UID 1: "Subject: first\r\n\r\nbody\r\n"
	// UID 2: "Subject: second\r\n\r\n"
	// moved, failed: 2 0
	// INBOX, Done: 0 2
}
