package transfer_test

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/transfer"
)

// TestMisfit: a pass whose messages all come from one relay of the provider's own says so once, and delivers them.
func TestMisfit(t *testing.T) {
	for _, tt := range []struct {
		name, peer string
		messages   int
		want       string // part of the one warning, "" for none
	}{
		{"an inner relay", "relay.example.net [198.51.100.5]", 10, "198.51.100.5 is the client of 10 of 10 messages"},
		{"an inner relay, few messages", "relay.example.net [198.51.100.5]", 9, ""},
		{"a list elsewhere", "lists.example.org [198.51.100.5]", 12, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for n := range tt.messages {
				w.store.Add("", []byte(strings.Replace(string(mail(n)), "\r\n", "\r\nReceived: from x ("+tt.peer+") by mx.example.net (Postfix) with ESMTPS id 4A; Mon, 23 Nov 2026 12:00:00 +0000\r\n", 1)))
			}
			if s := w.run(); s.Delivered != tt.messages {
				t.Errorf("%d of %d messages were delivered", s.Delivered, tt.messages)
			}
			var told []string
			for _, e := range w.events {
				if e.Kind == transfer.Misfit {
					told = append(told, e.Why)
				}
			}
			if got := strings.Join(told, "|"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "|") {
				t.Errorf("the pass says %q, want %q", told, tt.want)
			}
		})
	}
}
