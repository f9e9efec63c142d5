package received_test

import (
	"errors"
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

// A policy of one's own, for a provider behind a filter service.
func ExamplePolicy() {
	p := received.Policy{
		MX:       []string{"mx.example.org"},
		Gateways: []string{"*.filter.example"},
		Edge:     true,
	}
	if err := p.Validate(); err != nil {
		fmt.Println(err)
	}
	b := received.ReadChain([]byte("Received: from gate.filter.example (gate.filter.example [203.0.113.60])\r\n" +
		"\tby mx.example.org (Postfix) with ESMTPS id b2; Mon, 15 Jan 2024 10:00:01 +0000\r\n" +
		"Received: from client.example (client.example [192.0.2.10])\r\n" +
		"\tby gate.filter.example (Postfix) with ESMTPS id c3; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n")).Boundary(p)
	fmt.Println(b.Found, b.Client.Addr)
	// Output:
	// true 192.0.2.10
}

// Where no client is found, the reason says whether there ever was one.
func ExampleBoundary_Err() {
	p := received.Policy{MX: []string{"mx.example.org"}}
	for _, header := range []string{
		"Received: from pc (unknown [172.22.1.1]) by mx.example.org (Postfix) with ESMTP id 4A; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n",
		"Received: by mx.example.org (Postfix, from userid 33) id 4A; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n",
	} {
		b := received.ReadChain([]byte(header)).Boundary(p)
		fmt.Println(b.Internal(), errors.Is(b.Err(), received.OutcomePrivatePeer))
	}
	// Output:
	// false true
	// true false
}

// A submission gives the user's address, and the host that took the login.
func ExampleBoundary_submission() {
	b := received.ReadChain([]byte("Received: from [192.168.1.5] (dsl.example.net [192.0.2.77])\r\n" +
		"\t(Authenticated sender: user@example.org)\r\n" +
		"\tby mx.example.org (Postfix) with ESMTPSA id 4B; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n")).Boundary(received.Policy{MX: []string{"mx.example.org"}})
	fmt.Println(b.Outcome, b.Client.Addr, b.Submission.HELO)
	// Output:
	// submission 192.0.2.77 mx.example.org
}
