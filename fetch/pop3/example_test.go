package pop3_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

// One session: list, retrieve, delete. Nothing is deleted before Close has returned without an error.
func ExampleNew() {
	store := fakeserver.NewStore()
	store.Add("", []byte("Subject: first\r\n\r\n.dots\r\n"))
	store.Add("", []byte("Subject: second\r\n\r\n"))
	server := &fakeserver.POP3{Store: store, User: "alice", Password: "sesame"}
	conn, far := net.Pipe()
	go server.Serve(far) // ends with the connection

	ctx := context.Background()
	mailbox, err := pop3.New(ctx, conn, pop3.Options{
		Credentials: sasl.Credentials{User: "alice", Password: "sesame", AllowPlaintext: true},
		MaxSize:     50 << 20,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mailbox.Abort()
	listing, err := mailbox.Open(ctx, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	var complete []fetch.Ref
	err = mailbox.Retrieve(ctx, listing.Refs, func(m fetch.Message) error {
		if m.Err != nil {
			fmt.Printf("message %d: %v\n", m.Ref.Seq, m.Err)
			return nil // the others go on
		}
		octets, err := io.ReadAll(m.Body)
		if err != nil {
			return err // it is not complete
		}
		fmt.Printf("message %d: %q\n", m.Ref.Seq, octets)
		complete = append(complete, m.Ref)
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	failures, err := mailbox.Settle(ctx, fetch.Disposal{Action: fetch.Delete}, complete)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("marked, refused:", len(complete)-len(failures), len(failures))
	fmt.Println("still there:", len(store.UIDs("")))
	if err := mailbox.Close(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("after QUIT:", len(store.UIDs("")))
	// Output:
	// message 1: "Subject: first\r\n\r\n.dots\r\n"
	// message 2: "Subject: second\r\n\r\n"
	// marked, refused: 2 0
	// still there: 2
	// after QUIT: 0
}
