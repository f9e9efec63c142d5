package transfer

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

// maxLoopIDs bounds the Truehop-IDs of one message that are looked for: a sender may write any number. A loop through
// that many accounts is recognised, for each puts its own above those of the others.
const maxLoopIDs = 16

// whyAltered is what a person is told of a message that a server shows with another content than before.
const whyAltered = "the server shows this message with another content than before: it may have been delivered as it was"

// message is one message on its way from the spool to its verdict.
type message struct {
	ref    fetch.Ref
	spool  *spooled
	weight int64 // octets that it takes of the budget
	// identity holds what the ledger is to say of it.
	identity identity
	boundary received.Boundary
	client   inject.Client
	// lookup says that the client's name is still to be looked up.
	lookup bool
	// named is closed when the name of the client has been looked up.
	named chan struct{}
	// plain sends it through Pass.Plain.
	plain bool
	// redelivery says that the MTA may have it already.
	redelivery bool
	// opening is what has to stand between fields of ours and its header.
	opening string
	// defect is why it cannot be read, else nil.
	defect  *Defect
	attempt attempt
}

// record is what the ledger is to say of the message.
func (m *message) record() *ledger.Record { return &m.identity.record }

// rule gives the message a verdict of our own.
func (m *message) rule(state ledger.State, why string) { m.record().State, m.record().Why = state, why }

// prepare finds the boundary, the envelope and the client of a message. It reports false
// where the message gets a verdict of our own, which is in the record. An error is the ledger's, and
// leaves the message as it was.
func (w *pipeline) prepare(m *message) (ready bool, err error) {
	p := w.pass
	reader := Reader{Policy: p.Policy, Client: p.Client, Recipient: p.Recipient, Sender: p.Sender, Chain: p.ReadChain}
	reading := reader.Read(m.spool.head, w.clock.now())
	if m.spool.defect != nil {
		reading = unread(m.spool.defect)
	}
	m.record().Heading = reading.Heading
	if w.plan.adopt && !m.identity.known && !w.plan.spared[m.ref] {
		m.rule(ledger.Adopted, whyAdopted)
		return false, nil
	}
	if m.identity.altered {
		m.rule(ledger.Held, whyAltered)
		return false, nil
	}
	m.boundary, m.opening = reading.Boundary, reading.opening
	m.record().Sender, m.attempt.note = reading.sender, reading.note
	m.attempt.recipients = p.Recipients
	if m.defect = reading.Defect; m.defect != nil {
		m.rule(ledger.Held, m.defect.Why)
		return false, nil
	}
	if id, err := w.loopID(reading.ids); err != nil {
		return false, err
	} else if id != "" {
		m.rule(ledger.Held, "the message carries the Truehop-ID "+id+" of one that was injected here: a mail loop")
		return false, nil
	}
	if p.Recipient.From != "" {
		if reading.noRecipient != "" {
			m.rule(ledger.Held, reading.noRecipient)
			return false, nil
		}
		m.attempt.recipients = []string{reading.recipient}
	}
	if m.identity.known {
		records, err := w.recordsOf(m)
		if err != nil {
			return false, err
		}
		// No record means that only its retrieval had failed.
		i := slices.IndexFunc(records, func(r ledger.Record) bool { return r.Token == m.record().Token })
		if i >= 0 && !m.leaveOutServed(records[i]) {
			return false, nil
		}
	}
	if last := m.identity.waits; last != nil && !m.leaveOutServed(*last) {
		return false, nil
	}
	shown := reading.Run
	switch shown.Treatment {
	case HeldBack:
		m.rule(ledger.Held, shown.Why)
		return false, nil
	case Skipped:
		m.rule(ledger.Adopted, shown.Why)
		return false, nil
	}
	m.plain = shown.Treatment == AskedPlain
	m.attempt.note = inOneLine([]string{m.attempt.note, shown.Why})
	m.client, m.lookup, m.attempt.standIn = shown.Client, shown.Lookup, shown.StandIn
	m.record().HELO = shown.Client.HELO
	if shown.Client.Addr.IsValid() {
		m.record().Client = shown.Client.Addr.String()
	}
	return true, nil
}

// loopID returns which of the Truehop-IDs that a message carries is one of this account, or "". Others come with mail
// that has passed through another account or another instance, which is no loop yet: a loop through several accounts
// comes back to each of them, and is recognised then. To look among the records of all would have a sender, who may
// write any ID, decide that the whole ledger is read.
func (w *pipeline) loopID(ids []string) (string, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return len(id) != tokenLength })
	if len(ids) == 0 {
		return "", nil
	}
	found, err := w.pass.Ledger.List(w.lasting, ledger.Filter{Account: w.pass.Account, Tokens: ids, Limit: 1})
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Token, nil
}

// leaveOutServed leaves out the recipients that had their verdict at an earlier attempt, by the record that it left.
// It reports false where that leaves none, because the configuration names fewer now: then the message stands as they do.
func (m *message) leaveOutServed(last ledger.Record) bool {
	verdicts := last.Verdicts
	if last.Ran == ledger.FirstFormat {
		// Who is left out of Recipients has the message, unless Why says that it was refused. A quoted local part may hold a
		// space, so the list cannot be taken apart at those.
		verdicts = nil
		for _, to := range m.attempt.recipients {
			if strings.Contains(" "+last.Recipients+" ", " "+to+" ") {
				continue
			}
			v := ledger.Verdict{Address: to, State: ledger.Delivered}
			if _, reply, refused := strings.Cut("; "+last.Why, "; "+to+" refused: "); refused {
				v.State = ledger.Refused
				v.Reply, _, _ = strings.Cut(reply, "; ")
			}
			verdicts = append(verdicts, v)
		}
		if len(verdicts) == len(m.attempt.recipients) {
			verdicts = nil // the configuration has changed since
		}
	}
	rec := m.record()
	rec.Verdicts = verdicts
	m.attempt.recipients = slices.DeleteFunc(slices.Clone(m.attempt.recipients), func(to string) bool {
		return slices.ContainsFunc(verdicts, func(v ledger.Verdict) bool { return v.Address == to })
	})
	if len(m.attempt.recipients) > 0 {
		return true
	}
	var states []ledger.State
	for _, v := range verdicts {
		states = append(states, v.State)
	}
	rec.Code, rec.Reply = last.Code, last.Reply
	m.rule(combinedState(states), "every recipient that is configured now had its verdict before")
	return false
}

// reversePath returns what the upstream's final delivery recorded (RFC 5321 section 4.4), or fallback, with a
// note if what was recorded cannot be one. A Return-Path below the trusted fields is the sender's.
func reversePath(chain *received.Chain, b received.Boundary, fallback string) (path, note string) {
	const unfit = "the recorded sender cannot be one: "
	path = b.Sender
	trusted := max(b.Hop, b.Trusted-1, 0)
	if field := chain.Envelope.ReturnPath; len(field) > 0 && field[0].At <= trusted {
		if field[0].Bad {
			return fallback, unfit + "Return-Path holds no address"
		}
		if path = field[0].Address; path == "" {
			return "", "" // the null reverse-path
		}
	}
	if path == "" {
		return fallback, ""
	}
	if _, err := inject.ParsePath(path); err != nil {
		return fallback, unfit + err.Error()
	}
	return path, ""
}

// compose makes what is injected: the octets as they are, below a header of our own and without
// an mbox line. beforeDot is called before the dot leaves; nil makes it a dry run.
func (m *message) compose(beforeDot func(context.Context) error) *inject.Message {
	header := fieldID + ": " + m.record().Token + "\r\n"
	if m.redelivery {
		header += fieldRedelivery + ": possible\r\n"
	}
	from, to := m.record().Sender, m.attempt.recipients
	// Postfix's local(8) accepts a message that carries Delivered-To with the recipient's own
	// address and then bounces it as a loop.
	head := rename(m.spool.head, fieldDeliveredTo, renamedDeliveredTo, to)
	top := m.opening + string(head)
	rest := m.spool.mbox + int64(len(m.spool.head))
	spool := m.spool
	return &inject.Message{
		Client: m.client, From: from, To: to,
		Header: []byte(header), Size: int64(len(top)) + spool.size - rest,
		EightBit: spool.eightBit, NUL: spool.nul,
		DryRun: beforeDot == nil, BeforeDot: beforeDot,
		Body: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(top), spool.reader(rest))), nil
		},
	}
}
