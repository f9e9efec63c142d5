package inject_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

func ExampleClient_Commands() {
	client, _ := inject.Client{Addr: netip.MustParseAddr("192.0.2.1"), Name: "mail.example.net", HELO: "mail.example.net", ESMTP: true}.Safe(nil)
	for _, line := range client.Commands([]string{"NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME"}) {
		fmt.Println(line)
	}
	// An address that may carry rights at the MTA is never presented.
	client, why := inject.Client{Addr: netip.MustParseAddr("127.0.0.1"), Name: "localhost"}.Safe(nil)
	fmt.Println(why)
	fmt.Println(client.Commands([]string{"NAME", "ADDR"})[0])
	// Output:
	// XCLIENT HELO=mail.example.net PROTO=ESMTP REVERSE_NAME=mail.example.net NAME=mail.example.net ADDR=192.0.2.1
	// client address 127.0.0.1 is loopback: all attributes unavailable
	// XCLIENT NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]
}

func ExamplePool() {
	server := injecttest.New(injecttest.Options{})
	defer func() { _ = server.Close() }()
	pool := inject.NewPool(server.Dial, inject.Options{})
	content := "Subject: hello\r\n\r\nworld\r\n"
	err := pool.Submit(context.Background(), &inject.Message{
		Client: inject.Client{Addr: netip.MustParseAddr("192.0.2.1"), Name: "mail.example.net", HELO: "mail.example.net", ESMTP: true},
		From:   "sender@example.net",
		To:     []string{"user@example.org"},
		Size:   int64(len(content)),
		Body:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}, func(r inject.Receipt) {
		fmt.Println(r.Outcome, r.Reply.Code)
	})
	if err != nil {
		fmt.Println(err)
	}
	if err := pool.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(server.Messages()[0].Client.Addr)
	// Output:
	// delivered 250
	// 192.0.2.1
}
