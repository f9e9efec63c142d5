package received_test

import (
	"fmt"

	"github.com/truehop/truehop/received"
)

func ExampleParse() {
	h := received.Parse([]byte("from client.example (mail.example.com [192.0.2.10])\r\n" +
		"\tby mx.example.org (Postfix) with ESMTPS id 4TBx2Y5Nz3z9sSN\r\n" +
		"\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)"))
	fmt.Println(h.Addr, h.Name, h.NameVerified, h.HELO)
	fmt.Println(h.By, h.With, h.Form, h.Err)
	// Output:
	// 192.0.2.10 mail.example.com true client.example
	// mx.example.org ESMTPS postfix <nil>
}

func ExampleChain_Boundary() {
	header := []byte("Received: from mx.example.org ([10.0.0.2])\r\n" +
		"\tby store.example.org with LMTP id a1; Mon, 15 Jan 2024 10:00:01 +0000\r\n" +
		"Received: from client.example (unknown [192.0.2.10])\r\n" +
		"\tby mx.example.org (Postfix) with ESMTP id b2; Mon, 15 Jan 2024 10:00:00 +0000\r\n" +
		"Received: from nice.example (nice.example [198.51.100.7])\r\n" + // the sender's work
		"\tby mx.example.org (Postfix) with ESMTP id c3; Mon, 15 Jan 2024 09:59:59 +0000\r\n" +
		"Subject: hello\r\n\r\n")
	b := received.ReadChain(header).Boundary(received.Policy{
		MX:       []string{"mx*.example.org"},
		Internal: []string{"store.example.org"},
	})
	fmt.Println(b.Found, b.Hop, b.Client.Addr, b.Client.HELO)
	fmt.Println(b.Why)
	// Output:
	// true 1 192.0.2.10 client.example
	// mx.example.org received the message from 192.0.2.10: it is the first public peer of the provider's MX
}

func ExampleAuto() {
	fmt.Println(received.Auto("imap.gmail.com").Provider)
	fmt.Println(received.Auto("imap.example.org").Provider)
	// Output:
	// gmail
	// auto
}
