package ui

import (
	"io"
	"time"
)

// The JSON contract of explain. Absent values are null.
type (
	explainJSON struct {
		File     string       `json:"file"`
		Boundary boundaryJSON `json:"boundary"`
		Hops     []hopJSON    `json:"hops"`
		XCLIENT  []string     `json:"xclient"`
		Run      runJSON      `json:"run"`
		Proofs   []proofJSON  `json:"proofs"`
		Message  headingJSON  `json:"message"`
	}
	// runJSON is what run would do: present, plain, hold or skip. Where it does not present the message's own client,
	// why says why; stand_in says that an address stands for it. carrier is inject.carrier, or null where inject.xclient is off.
	// target is the account's, or null without an account.
	runJSON struct {
		Does    string  `json:"does"`
		Why     *string `json:"why"`
		Carrier *string `json:"carrier"`
		StandIn bool    `json:"stand_in"`
		Target  *string `json:"target"`
	}
	// boundaryJSON is the answer: found, internal (the mail never had a client), or neither (it cannot be
	// told). outcome says more; hop counts from 1.
	boundaryJSON struct {
		Found         bool       `json:"found"`
		Hop           *int       `json:"hop"`
		Client        clientJSON `json:"client"`
		Proto         *string    `json:"proto"`
		Authenticated bool       `json:"authenticated"`
		Why           string     `json:"why"`
		Internal      bool       `json:"internal"`
		Outcome       string     `json:"outcome"`
		Provider      *string    `json:"provider"`
		Trusted       int        `json:"trusted"`
		Confirmed     bool       `json:"confirmed"`
		Sender        *string    `json:"sender"`
		Recipient     *string    `json:"recipient"`
	}
	clientJSON struct {
		Addr *string `json:"addr"`
		Name *string `json:"name"`
		HELO *string `json:"helo"`
		Port *uint16 `json:"port"`
	}
	// proofJSON is a field in which a receiver named the client; at is the number of Received fields above it.
	proofJSON struct {
		Field  string  `json:"field"`
		Addr   *string `json:"addr"`
		Writer *string `json:"writer"`
		At     int     `json:"at"`
	}
	// hopJSON is one Received field; position counts from 1. raw is its text as it stands in the message.
	hopJSON struct {
		HELO          *string  `json:"helo"`
		Name          *string  `json:"name"`
		Addr          *string  `json:"addr"`
		By            *string  `json:"by"`
		With          *string  `json:"with"`
		ID            *string  `json:"id"`
		For           *string  `json:"for"`
		Time          *string  `json:"time"`
		Form          *string  `json:"form"`
		Error         *string  `json:"error"`
		Kind          string   `json:"kind"`
		Verified      bool     `json:"verified"`
		Port          *uint16  `json:"port"`
		TLS           bool     `json:"tls"`
		Authenticated bool     `json:"authenticated"`
		Sender        *string  `json:"sender"`
		Via           *string  `json:"via"`
		TLSVersion    *string  `json:"tls_version"`
		TLSCipher     *string  `json:"tls_cipher"`
		Recipients    []string `json:"recipients"`
		Zone          *string  `json:"zone"`
		Raw           *string  `json:"raw"`
		Position      int      `json:"position"`
	}
)

// PrintJSON writes one object and a line end.
func (x *Explanation) PrintJSON(w io.Writer, name string) error {
	chain, b := x.Chain, x.Boundary
	o := explainJSON{
		File: name,
		Boundary: boundaryJSON{
			Found:         b.Found,
			Internal:      b.Internal(),
			Outcome:       string(b.Outcome),
			Provider:      orNil(b.Provider),
			Trusted:       b.Trusted,
			Confirmed:     b.Confirmed,
			Sender:        orNil(b.Sender),
			Recipient:     orNil(b.Recipient),
			Authenticated: b.Authenticated,
			Why:           b.Why,
		},
		Hops:    make([]hopJSON, len(chain.Hops)),
		Proofs:  make([]proofJSON, len(chain.Proofs)),
		XCLIENT: x.Commands,
		Message: newHeadingJSON(x.Heading),
		Run:     runJSON{x.Run.Treatment.String(), orNil(x.Run.Why), orNil(x.Carrier), x.Run.StandIn, orNil(x.Target)},
	}
	if b.Found {
		hop := b.Hop + 1
		o.Boundary.Hop = &hop
		o.Boundary.Client = clientJSON{addrOrNil(b.Client.Addr), orNil(b.Client.Name), orNil(b.Client.HELO), portOrNil(b.Client.Port)}
		proto := "SMTP" // the value of XCLIENT's PROTO
		if b.ESMTP {
			proto = "ESMTP"
		}
		o.Boundary.Proto = &proto
	}
	for i := range chain.Hops {
		h := &chain.Hops[i]
		j := hopJSON{
			HELO: orNil(h.HELO), Name: orNil(h.Name), Addr: addrOrNil(h.Addr), By: orNil(h.By),
			With: orNil(h.With), ID: orNil(h.ID), For: orNil(h.For), Form: orNil(h.Form), Kind: string(h.Kind),
			Verified: h.NameVerified, Port: portOrNil(h.Port), TLS: h.TLS, Authenticated: h.Authenticated, Sender: orNil(h.EnvelopeFrom),
			Position: h.Position, Via: orNil(h.Via), TLSVersion: orNil(h.TLSVersion), TLSCipher: orNil(h.TLSCipher),
			Recipients: h.Recipients(), Zone: orNil(h.Zone), Raw: orNil(h.Raw),
		}
		if !h.Time.IsZero() {
			j.Time = orNil(h.Time.Format(time.RFC3339))
		}
		if h.Err != nil {
			j.Error = orNil(h.Err.Error())
		}
		o.Hops[i] = j
	}
	for i := range chain.Proofs {
		p := &chain.Proofs[i]
		o.Proofs[i] = proofJSON{p.Field, addrOrNil(p.Addr), orNil(p.Writer), p.At}
	}
	return printJSON(w, o)
}

func portOrNil(port uint16) *uint16 {
	if port == 0 {
		return nil
	}
	return &port
}
