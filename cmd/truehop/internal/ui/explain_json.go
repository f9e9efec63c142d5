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
	}
	// runJSON is what run would do: present, plain, hold or skip. Where it presents nobody, why says why.
	// carrier is inject.carrier, or null where inject.xclient is off.
	runJSON struct {
		Does    string  `json:"does"`
		Why     *string `json:"why"`
		Carrier *string `json:"carrier"`
	}
	boundaryJSON struct {
		Found         bool       `json:"found"`
		Hop           *int       `json:"hop"`
		Client        clientJSON `json:"client"`
		Proto         *string    `json:"proto"`
		Authenticated bool       `json:"authenticated"`
		Why           string     `json:"why"`
	}
	clientJSON struct {
		Addr *string `json:"addr"`
		Name *string `json:"name"`
		HELO *string `json:"helo"`
	}
	hopJSON struct {
		HELO  *string `json:"helo"`
		Name  *string `json:"name"`
		Addr  *string `json:"addr"`
		By    *string `json:"by"`
		With  *string `json:"with"`
		ID    *string `json:"id"`
		For   *string `json:"for"`
		Time  *string `json:"time"`
		Form  *string `json:"form"`
		Error *string `json:"error"`
	}
)

// PrintJSON writes one object and a line end.
func (x *Explanation) PrintJSON(w io.Writer, name string) error {
	chain, b := x.Chain, x.Boundary
	o := explainJSON{
		File: name,
		Boundary: boundaryJSON{
			Found:         b.Found,
			Authenticated: b.Authenticated,
			Why:           b.Why,
		},
		Hops:    make([]hopJSON, len(chain.Hops)),
		XCLIENT: x.Commands,
		Run:     runJSON{x.Run.Treatment.String(), orNil(x.Run.Why), orNil(x.Carrier)},
	}
	if b.Found {
		o.Boundary.Hop = &b.Hop
		o.Boundary.Client = clientJSON{addrOrNil(b.Client.Addr), orNil(b.Client.Name), orNil(b.Client.HELO)}
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
			With: orNil(h.With), ID: orNil(h.ID), For: orNil(h.For), Form: orNil(h.Form),
		}
		if !h.Time.IsZero() {
			j.Time = orNil(h.Time.Format(time.RFC3339))
		}
		if h.Err != nil {
			j.Error = orNil(h.Err.Error())
		}
		o.Hops[i] = j
	}
	return printJSON(w, o)
}
