package app

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// Presenter explains messages by the rules that a pass would present their clients by.
type Presenter struct {
	Policy received.Policy
	rules  transfer.ClientRules
	// names looks up the names of clients, nil where nobody is to be asked.
	names *rdns.Resolver
	// carrier is how clients are presented, if they are at all.
	carrier inject.Carrier
	off     bool
	// section is where the configuration has the keys of the account's target.
	section string
	// target is that target's name, "" where there is no account.
	target string
	// readChain is as in [transfer.Pass].
	readChain func(head []byte) *received.Chain
}

// NewPresenter goes by the rules of an account.
func NewPresenter(cfg *config.Config, account *config.Account) *Presenter {
	target := cfg.Target(account)
	return &Presenter{
		Policy: policy(account), rules: clientRules(account, target), section: target.Section(), target: target.Name,
		names: rdns.New(ResolverOptions(cfg.Resolver)), carrier: target.Carrier, off: target.XClient == inject.Off,
	}
}

// DefaultPresenter goes by a policy and, for all else, by what is the rule where an account says nothing. It asks
// nobody for names.
func DefaultPresenter(policy received.Policy) *Presenter {
	return &Presenter{Policy: policy, rules: transfer.ClientRules{Never: ownAddresses()}, section: "inject"}
}

// Explanation is what there is to say of one message.
type Explanation struct {
	Chain    *received.Chain
	Boundary received.Boundary
	// Run is what a pass would do with it.
	Run transfer.Presentation
	// Section is where the configuration has the keys of the account's target.
	Section string
	// Target is that target's name, "" without an account.
	Target string
	// Carrier is how the client is presented, "" where it is not.
	Carrier string
	// Commands present the client to an MTA that offers every attribute. There are none where no client
	// would be presented, or not by XCLIENT.
	Commands []string
	// Heading names the message.
	Heading ledger.Heading
}

// Explain says what a pass would do with the message that has this header.
func (p *Presenter) Explain(ctx context.Context, header []byte) Explanation {
	reader := transfer.Reader{Policy: p.Policy, Client: p.rules, Chain: p.readChain}
	reading := reader.Read(header, time.Now())
	x := Explanation{
		Chain: reading.Chain, Boundary: reading.Boundary, Run: reading.Run, Heading: reading.Heading,
		Section: p.section, Target: p.target, Commands: []string{},
	}
	if x.Run.Lookup && p.names != nil {
		x.Run.Client = transfer.WithName(x.Run.Client, lookupName(ctx, p.names, x.Run.Client.Addr))
		x.Run.Lookup = false
	}
	if !p.off || p.carrier != inject.XCLIENT {
		x.Carrier = p.carrier.String()
	}
	if x.Run.Treatment == transfer.Asked && x.Carrier == inject.XCLIENT.String() {
		client, _ := x.Run.Client.Safe(p.rules.Never)
		x.Commands = client.Commands(inject.AllAttributes())
	}
	return x
}

// lookupName asks the DNS for the name of a client.
func lookupName(ctx context.Context, names *rdns.Resolver, addr netip.Addr) transfer.Name {
	n := names.Name(ctx, addr)
	return transfer.Name{Verified: n.Verified, Reverse: n.Reverse, Temporary: n.Temporary}
}

// ResolverOptions says who is asked for the names of clients.
func ResolverOptions(c config.Resolver) rdns.Options {
	o := rdns.Options{Timeout: c.Timeout}
	if c.Server == "" {
		return o
	}
	server := c.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53") // the configuration may leave the port out
	}
	o.Lookup = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
	return o
}
