package received

import (
	"fmt"
	"strings"
	"testing"
)

// TestSurvey: many messages of one mailbox show that the policy misses a host of the provider's.
func TestSurvey(t *testing.T) {
	client := func(i int) string {
		return line(fmt.Sprintf("out%d.example", i), fmt.Sprintf("out%d.example [192.0.2.%d]", i, i+1), "mx.example.org")
	}
	relay := line("relay.example.org", "relay.example.org [203.0.113.5]", "mx.example.org")
	nameless := "Received: from relay ([203.0.113.5]) by mx.example.org ([203.0.113.77]) with ESMTP id 4A" + date
	private := line("pc", "unknown [172.22.1.1]", "mx.example.org")
	filter := line("x.pphosted.com", "x.pphosted.com [203.0.113.9]", "mx.example.org")
	handedIn := "Received: by mx.example.org (Postfix, from userid 33) id 4A" + date
	type group struct {
		header string // "" is a client of its own for each message
		n      int
	}
	for _, tt := range []struct {
		name  string
		mail  []group
		least int
		want  []string // the beginning of what is found, or a part of it
	}{
		{"nothing", nil, 1, nil},
		{"clients from everywhere", []group{{"", 20}}, 10, nil},
		{"private peers only", []group{{private, 12}}, 10, []string{"your provider's MX shows private peers only in all of 12 messages"}},
		{"private peers only, and mail that the provider wrote itself", []group{{private, 3}, {handedIn, 9}}, 1, []string{"private peers only in all of 3 messages"}},
		{"mostly private peers", []group{{private, 12}, {"", 3}}, 10, []string{"private peers only in most of 15 messages"}},
		{"a few private peers", []group{{private, 10}, {"", 30}}, 10, nil},
		{"too few to tell", []group{{private, 9}}, 10, nil},
		{"a few to a person who asks", []group{{private, 1}}, 1, []string{"private peers only"}},
		{"two messages of a colleague, to a person who asks", []group{{relay, 2}}, 1, nil},
		{"a relay with a name of the provider's", []group{{relay, 11}, {"", 4}}, 10, []string{"203.0.113.5 is the client of 11 of 15 messages, and it has a name or an address of the provider's own"}},
		{"a relay in the MX's network", []group{{nameless, 10}}, 10, []string{"203.0.113.5 is the client of 10 of 10 messages"}},
		{"a colleague who writes now and then", []group{{relay, 10}, {"", 10}}, 10, nil},
		{"a list far away", []group{{line("list.example.com", "list.example.com [198.51.100.9]", "mx.example.org"), 40}}, 10, nil},
		{"a filter service", []group{{filter, 12}, {private, 1}}, 10, []string{"203.0.113.9 is the client of 12 of 13 messages, and it belongs to a filter service"}},
	} {
		var s Survey
		for _, g := range tt.mail {
			for i := range g.n {
				header := g.header
				if header == "" {
					header = client(i)
				}
				s.Add(ReadChain([]byte(header + "\r\n")).Boundary(own))
			}
		}
		found := s.Findings(tt.least)
		if len(found) != len(tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, found, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(found[i], want) {
				t.Errorf("%s: %q, want %q", tt.name, found[i], want)
			}
		}
	}
}
