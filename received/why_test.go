package received

import (
	"strings"
	"testing"
)

// TestWhy: a reason names what would give an answer, where something would.
func TestWhy(t *testing.T) {
	uni := Policy{MX: []string{"edge1.uni.example"}, Internal: []string{"mid.uni.example", "out.uni.example"}}
	hops := uni
	hops.Hops = 2
	mos := func(name, addr, by string) string {
		return "Received: from " + name + " (EHLO " + name + ") ([" + addr + "]) by " + by + " (MOS 4.4.8-GA FastPath queued) with ESMTP id 4A" + date
	}
	unverified := line("mid.uni.example", "mid.uni.example [203.0.113.90]", "out.uni.example") +
		mos("edge1.uni.example", "203.0.113.91", "mid.uni.example") + mos("out.sender.example", "192.0.2.25", "edge1.uni.example")
	proof := "Received-SPF: Pass (out.uni.example: domain of sender.example designates 192.0.2.25 as permitted sender) client-ip=192.0.2.25\r\n"
	peerless := "Received: by edge1.uni.example with SMTP id 4A" + date + line("out.sender.example", "out.sender.example [192.0.2.25]", "edge1.uni.example")
	for _, tt := range []struct {
		name   string
		policy Policy
		header string
		addr   string
		why    string
	}{
		{"a writer in the middle does not verify names", uni, unverified, "", "name its network in internal_nets"},
		{"the same, and the provider's own proof names the client", uni, proof + unverified, "192.0.2.25", "first public peer"},
		{"the MX hands over to itself without a peer", uni, peerless, "", "give its number in hops"},
		{"the same, and the number is given", hops, peerless, "192.0.2.25", "at the configured position"},
	} {
		b := ReadChain([]byte(tt.header + "\r\n")).Boundary(tt.policy)
		addr := ""
		if b.Found {
			addr = b.Client.Addr.String()
		}
		if addr != tt.addr || !strings.Contains(b.Why, tt.why) {
			t.Errorf("%s: %q, %s; want %q, and %q", tt.name, addr, b.Why, tt.addr, tt.why)
		}
	}
}

// TestCarriesMail: a protocol that carries no mail is told by its name.
func TestCarriesMail(t *testing.T) {
	for _, with := range []string{"", "ESMTPS", "smtp", "UTF8SMTPSA", "Microsoft SMTP Server", "ESMTP/TLS/AES128-SHA", "LMTPS", "QMTP", "bsmtp", "ME", "NNFMP", "X400", "AES256-SHA encrypted SMTP"} {
		if !carriesMail(with) {
			t.Errorf("%q carries no mail", with)
		}
	}
	for _, with := range []string{"Thrift", "gRPC", "XML-RPC over TCP", "MEX", "JMAP"} {
		if carriesMail(with) {
			t.Errorf("%q carries mail", with)
		}
	}
}
