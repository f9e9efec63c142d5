package transfer_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// smallMailbox is an upstream that holds its messages in memory, by their UIDs.
type smallMailbox map[string]string

func (m smallMailbox) Open(_ context.Context, folder string) (*fetch.Listing, error) {
	listing := &fetch.Listing{Validity: 1}
	for uid, text := range m {
		listing.Refs = append(listing.Refs, fetch.Ref{Folder: folder, Validity: 1, UID: uid, Size: int64(len(text))})
	}
	return listing, nil
}

func (m smallMailbox) Retrieve(_ context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	for _, ref := range refs {
		if err := sink(fetch.Message{Ref: ref, Size: ref.Size, Body: strings.NewReader(m[ref.UID])}); err != nil {
			return err
		}
	}
	return nil
}

func (m smallMailbox) Settle(_ context.Context, _ fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	for _, ref := range refs {
		delete(m, ref.UID) // the only disposal of this example
	}
	return nil, nil
}

func (smallMailbox) Close(context.Context) error { return nil }
func (smallMailbox) Leave(context.Context) error { return nil }
func (smallMailbox) Abort()                      {}

// smallMTA takes every message and prints whom it came from.
type smallMTA struct{}

func (smallMTA) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	body, err := m.Body()
	if err != nil {
		return err
	}
	octets, err := io.Copy(io.Discard, body)
	if err != nil {
		return err
	}
	fmt.Printf("XCLIENT ADDR=%v NAME=%s; MAIL FROM:<%s>, RCPT TO:%v, %d octets\n", m.Client.Addr, m.Client.Name, m.From, m.To, octets)
	if err := m.BeforeDot(ctx); err != nil { // the ledger says "sending"
		return err
	}
	reply := inject.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued"}
	done(inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: reply, Presented: m.Client, Recipients: []inject.RecipientReceipt{
		{Address: m.To[0], Outcome: inject.Delivered, Stage: "dot", Reply: reply},
	}})
	return nil
}

// A pass takes the one message of a mailbox to the MTA, presents the client that the upstream's MX saw, and deletes the
// message upstream once its verdict is durable.
func ExamplePass_Run() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "transfer-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	record, err := ledger.Open(ctx, dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer record.Close()

	mailbox := smallMailbox{"17": strings.ReplaceAll(`Return-Path: <sender@example.org>
Received: from mail.example.org (mail.example.org [203.0.113.9])
	by mx.example.net (Postfix) with ESMTPS id 4XyZ
	for <joe@example.net>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)
Subject: Hello

Hello, Joe.
`, "\n", "\r\n")}
	const budget = 64 << 20
	pass := transfer.Pass{
		Account: "work", Folders: []string{"INBOX"},
		Dial: func(context.Context) (fetch.Mailbox, error) { return mailbox, nil },
		MTA:  smallMTA{}, Ledger: record,
		Policy:      received.Policy{MX: []string{"mx.example.net"}},
		LookupName:  func(context.Context, netip.Addr) transfer.Name { return transfer.Name{} },
		Recipients:  []string{"joe@example.com"},
		OnDelivered: fetch.Disposal{Action: fetch.Delete},
		SpoolDir:    dir, Budget: semaphore.NewWeighted(budget), BudgetSize: budget,
		Flood: transfer.Flood{Limit: 100},
		Observe: func(e transfer.Event) {
			if e.Kind == transfer.Verdict {
				fmt.Println(e.Ref.UID, "is", e.State)
			}
		},
	}
	summary, err := pass.Run(ctx)
	fmt.Println(summary.Delivered, "delivered,", summary.Settled, "settled,", len(mailbox), "left upstream, error:", err)
	// Output:
	// XCLIENT ADDR=203.0.113.9 NAME=mail.example.org; MAIL FROM:<sender@example.org>, RCPT TO:[joe@example.com], 245 octets
	// 17 is delivered
	// 1 delivered, 1 settled, 0 left upstream, error: <nil>
}
