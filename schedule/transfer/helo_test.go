package transfer_test

import (
	"testing"
	"time"

	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/transfer"
)

// Only a field whose writer tells HELO from EHLO proves that the client said HELO.
func TestClientThatSaidHELO(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		want  bool
	}{
		"Postfix, SMTP":         {"from helo.example.net (mail.example.net [192.0.2.7]) by mx.example.com (Postfix) with SMTP id 4XyZ", true},
		"Postfix, ESMTP":        {"from helo.example.net (mail.example.net [192.0.2.7]) by mx.example.com (Postfix) with ESMTP id 4XyZ", false},
		"Postfix, ESMTPS":       {"from helo.example.net (mail.example.net [192.0.2.7]) by mx.example.com (Postfix) with ESMTPS id 4XyZ", false},
		"Exim, smtp":            {"from mail.example.net ([192.0.2.7] helo=helo.example.net) by mx.example.com with smtp (Exim 4.96) (envelope-from <a@example.net>) id 1xWVXf-0004KC-00", true},
		"Exim, esmtp":           {"from mail.example.net ([192.0.2.7] helo=helo.example.net) by mx.example.com with esmtp (Exim 4.96) (envelope-from <a@example.net>) id 1xWVXf-0004KC-00", false},
		"qmail writes SMTP all": {"from mail.example.net (HELO helo.example.net) (192.0.2.7) by mx.example.com with SMTP", false},
		"nobody knows":          {"from helo.example.net ([192.0.2.7]) by mx.example.com with SMTP", false},
	} {
		t.Run(name, func(t *testing.T) {
			chain := received.ReadChain([]byte("Received: " + c.field + "; Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"))
			b := chain.Boundary(received.Policy{MX: []string{"mx.example.com"}})
			if !b.Found {
				t.Fatalf("no client: %s", b.Why)
			}
			p := transfer.Present(chain, b, transfer.ClientRules{}, time.Now())
			if p.Client.SMTP != c.want {
				t.Errorf("%+v, want SMTP %v", p.Client, c.want)
			}
			b.Authenticated = true
			if p := transfer.Present(chain, b, transfer.ClientRules{Submission: transfer.SubmissionClient}, time.Now()); p.Client.SMTP {
				t.Errorf("a client that logged in: %+v", p.Client)
			}
		})
	}
}
