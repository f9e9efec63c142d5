package inject

import (
	"errors"
	"io"
	"slices"
	"testing"
)

// in describes an end for a table: outcome, kind of error, state of the session.
type in struct {
	outcome Outcome
	kind    Kind
	session state
}

func checkEnd(t *testing.T, what string, e *end, stage string, want in) {
	t.Helper()
	kind := Unclassified
	if e.err != nil {
		kind = e.err.Kind
		if e.err.Reply != e.reply {
			t.Errorf("%s: the error has reply %v, the end %v", what, e.err.Reply, e.reply)
		}
	}
	if got := (in{e.outcome, kind, e.session}); got != want || e.stage != stage {
		t.Errorf("%s: %+v at %s, want %+v at %s", what, got, e.stage, want, stage)
	}
}

// TestRefusal: what a reply to MAIL, DATA or BDAT means that does not let the dialogue go on.
func TestRefusal(t *testing.T) {
	for code, want := range map[int]in{
		250: {Deferred, Protocol, broken},
		334: {Deferred, Protocol, broken},
		354: {Deferred, Protocol, broken},
		421: {Deferred, Unclassified, broken},
		450: {Deferred, Unclassified, idle},
		452: {Deferred, Unclassified, idle},
		500: {Deferred, Protocol, broken},
		501: {Refused, Unclassified, idle},
		502: {Deferred, Protocol, broken},
		503: {Deferred, Protocol, broken},
		521: {Refused, Unclassified, broken},
		530: {Deferred, Misconfigured, idle},
		538: {Deferred, Misconfigured, idle},
		550: {Refused, Unclassified, idle},
		552: {Refused, Unclassified, idle},
		554: {Refused, Unclassified, idle},
	} {
		reply := Reply{Code: code}
		checkEnd(t, reply.String(), refusal(stageMAIL, reply), stageMAIL, want)
	}
}

// TestRcptVerdict: which replies to RCPT speak of one recipient, and which end the transaction.
func TestRcptVerdict(t *testing.T) {
	for _, c := range []struct {
		code    int
		outcome Outcome
		end     *in
	}{
		{250, Deferred, nil},
		{251, Deferred, nil},
		{354, Deferred, &in{Deferred, Protocol, broken}},
		{421, Deferred, &in{Deferred, Unclassified, broken}},
		{450, Deferred, nil},
		{500, Deferred, &in{Deferred, Protocol, broken}},
		{501, Refused, nil},
		{502, Deferred, &in{Deferred, Protocol, broken}},
		{503, Deferred, &in{Deferred, Protocol, broken}},
		{521, Refused, &in{Deferred, Unclassified, broken}},
		{530, Deferred, &in{Deferred, Misconfigured, idle}},
		{538, Deferred, &in{Deferred, Misconfigured, idle}},
		{550, Refused, nil},
		{552, Deferred, nil},
		{554, Refused, nil},
	} {
		reply := Reply{Code: c.code}
		outcome, e := rcptVerdict(reply)
		if outcome != c.outcome || (e == nil) != (c.end == nil) {
			t.Errorf("%d: %v, ends %v", c.code, outcome, e != nil)
		} else if e != nil {
			checkEnd(t, reply.String(), e, stageRCPT, *c.end)
		}
	}
}

// Test552ToRecipient: 552 to RCPT is about the number of recipients or a full mailbox, and passes; one about the message's size,
// as per-mailbox limits say it, never does.
func Test552ToRecipient(t *testing.T) {
	for enhanced, want := range map[string]Outcome{"": Deferred, "5.5.3": Deferred, "5.2.2": Deferred, "5.2.3": Refused, "5.3.4": Refused} {
		if got, e := rcptVerdict(Reply{Code: 552, Enhanced: enhanced}); got != want || e != nil {
			t.Errorf("552 %s: %v, ends %v; want %v", enhanced, got, e != nil, want)
		}
	}
}

// TestDotVerdict: what the reply to the dot means, and to the last chunk, which may leave the mail
// transaction open.
func TestDotVerdict(t *testing.T) {
	for _, c := range []struct {
		code         int
		dot, chunked in
	}{
		{200, in{Delivered, Unclassified, idle}, in{Delivered, Unclassified, idle}},
		{220, in{InDoubt, Protocol, broken}, in{InDoubt, Protocol, broken}},
		{221, in{InDoubt, Protocol, broken}, in{InDoubt, Protocol, broken}},
		{250, in{Delivered, Unclassified, idle}, in{Delivered, Unclassified, idle}},
		{354, in{InDoubt, Protocol, broken}, in{InDoubt, Protocol, broken}},
		{421, in{Deferred, Unclassified, broken}, in{Deferred, Unclassified, broken}},
		{451, in{Deferred, Unclassified, idle}, in{Deferred, Unclassified, inMail}},
		{500, in{Refused, Unclassified, idle}, in{Deferred, Protocol, broken}},
		{503, in{Refused, Unclassified, idle}, in{Deferred, Protocol, broken}},
		{530, in{Refused, Unclassified, idle}, in{Refused, Unclassified, inMail}}, // of a rule for the content
		{521, in{Refused, Unclassified, broken}, in{Refused, Unclassified, broken}},
		{552, in{Refused, Unclassified, idle}, in{Refused, Unclassified, inMail}},
		{554, in{Refused, Unclassified, idle}, in{Refused, Unclassified, inMail}},
	} {
		reply := Reply{Code: c.code}
		checkEnd(t, "dot: "+reply.String(), dotVerdict(reply, false), stageDot, c.dot)
		checkEnd(t, "last chunk: "+reply.String(), dotVerdict(reply, true), stageDot, c.chunked)
	}
	checkEnd(t, "no reply", doubt(io.EOF), stageDot, in{InDoubt, Unreachable, broken})
}

// TestXCLIENTReply: what each reply to XCLIENT other than 220 means. The session serves no other
// message after any of them.
func TestXCLIENTReply(t *testing.T) {
	for _, c := range []struct {
		reply     Reply
		want      in
		attribute string
	}{
		{Reply{Code: 250, Text: "Ok"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 354}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 421}, in{Deferred, Unclassified, broken}, ""},
		{Reply{Code: 450}, in{Deferred, Unclassified, leaving}, ""},
		{Reply{Code: 500}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 501, Text: "Bad NAME syntax: ADDR"}, in{Deferred, Protocol, broken}, "NAME"},
		{Reply{Code: 501, Text: "Error: bad reverse_name value"}, in{Deferred, Protocol, broken}, "REVERSE_NAME"},
		{Reply{Code: 501, Text: "Error: the value given is bad: NAME"}, in{Deferred, Protocol, broken}, "?"},
		{Reply{Code: 501, Text: "Syntax error"}, in{Deferred, Protocol, broken}, "?"},
		{Reply{Code: 501}, in{Deferred, Protocol, broken}, "?"},
		{Reply{Code: 502}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 503}, in{Deferred, Protocol, broken}, ""},
		{Reply{Code: 521}, in{Refused, Unclassified, broken}, ""},
		{Reply{Code: 550, Text: "Error: insufficient authorization"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Text: "Not authorized"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Text: "Error: not allowed"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Text: "XCLIENT command used when not advertised"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Text: "Not authorized."}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Enhanced: "5.7.14", Text: "You are not from trusted IP"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 554, Text: "XCLIENT not allowed for this host"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 530, Text: "Must issue a STARTTLS command first"}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 538}, in{Deferred, Misconfigured, leaving}, ""},
		{Reply{Code: 550, Text: "<xclient.example.net[192.0.2.1]>: Client host rejected: Access denied"}, in{Refused, Unclassified, leaving}, ""},
		{Reply{Code: 503, Text: "XCLIENT not permitted while reading mail"}, in{Deferred, Protocol, broken}, ""},
		{Reply{Code: 550, Text: "192.0.2.1 is not authorized to send mail"}, in{Refused, Unclassified, leaving}, ""},
		{Reply{Code: 554, Enhanced: "5.7.1", Text: "Service unavailable; Client host [xclient.example.net] blocked using dbl.example.org"}, in{Refused, Unclassified, leaving}, ""},
		{Reply{Code: 550, Text: "Client host rejected"}, in{Refused, Unclassified, leaving}, ""},
		{Reply{Code: 554}, in{Refused, Unclassified, leaving}, ""},
	} {
		e := xclientRefused(c.reply, Client{})
		checkEnd(t, c.reply.String(), e, stageXCLIENT, c.want)
		if e.attribute != c.attribute {
			t.Errorf("%v: attribute %q, want %q", c.reply, e.attribute, c.attribute)
		}
	}
}

// TestAddressRefused: an address that the MTA does not take has a remedy if it is of IPv6.
func TestAddressRefused(t *testing.T) {
	reply := Reply{Code: 501, Text: "Bad ADDR syntax: x"}
	for a, want := range map[string]string{"192.0.2.1": "attribute refused", "2001:db8::1": "the MTA does not take the address; for IPv6 its listener needs inet_protocols=all"} {
		if e := xclientRefused(reply, Client{Addr: addr(a)}); e.err.Text != want || e.attribute != "ADDR" {
			t.Errorf("%s: %q, attribute %s", a, e.err.Text, e.attribute)
		}
	}
}

// TestGreetingRefused: what a failed EHLO in the client's name means.
func TestGreetingRefused(t *testing.T) {
	for code, want := range map[int]in{
		220: {Deferred, Protocol, broken},
		354: {Deferred, Protocol, broken},
		421: {Deferred, Unclassified, broken},
		450: {Deferred, Unclassified, leaving},
		500: {Deferred, Protocol, broken},
		502: {Deferred, Protocol, broken},
		503: {Deferred, Protocol, broken},
		504: {Refused, Unclassified, leaving},
		521: {Refused, Unclassified, broken},
		530: {Deferred, Misconfigured, leaving},
		538: {Deferred, Misconfigured, leaving},
		550: {Refused, Unclassified, leaving},
	} {
		reply := Reply{Code: code}
		checkEnd(t, reply.String(), greetingRefused(hostRefused(stageEHLO, reply)), stageEHLO, want)
	}
	checkEnd(t, "no reply", greetingRefused(classify(stageEHLO, io.EOF)), stageEHLO, in{Deferred, Unreachable, broken})
}

// TestOutOfStepInWords: 554 can say that the dialogue is out of step, and not that anything is refused. A text that quotes what
// a sender wrote cannot pass for that.
func TestOutOfStepInWords(t *testing.T) {
	quoted := Reply{Code: 554, Enhanced: "5.7.1", Text: "<smtp protocol synchronization@example.net>: Sender address rejected: no"}
	if e := refusal(stageMAIL, quoted); e.outcome != Refused {
		t.Errorf("%v: %v", quoted, e.outcome)
	}
	for _, reply := range []Reply{{Code: 554, Enhanced: "5.5.0", Text: "Error: SMTP protocol synchronization"}, {Code: 554, Text: "SMTP synchronization error"}} {
		outOfStep := in{Deferred, Protocol, broken}
		checkEnd(t, reply.String(), xclientRefused(reply, Client{}), stageXCLIENT, outOfStep)
		checkEnd(t, reply.String(), greetingRefused(hostRefused(stageEHLO, reply)), stageEHLO, outOfStep)
		checkEnd(t, reply.String(), refusal(stageMAIL, reply), stageMAIL, outOfStep)
		_, e := rcptVerdict(reply)
		if e == nil {
			t.Fatalf("%v: no end", reply)
		}
		checkEnd(t, reply.String(), e, stageRCPT, outOfStep)
	}
}

// TestStale: after which ends another attempt on a fresh connection may help, and can do no harm.
func TestStale(t *testing.T) {
	unanswered := lost(stageMAIL, io.EOF)
	unanswered.unanswered = true
	for what, c := range map[string]struct {
		e    *end
		want bool
	}{
		"closed before a reply":             {unanswered, true},
		"closed after a reply":              {lost(stageMAIL, io.EOF), false},
		"in doubt":                          {doubt(io.EOF), false},
		"XCLIENT seems not to be offered":   {misconfigured(Reply{}, "", ""), true},
		"authentication wanted":             {refusal(stageMAIL, Reply{Code: 530}), false},
		"out of step":                       {refusal(stageMAIL, Reply{Code: 503}), false},
		"refused":                           {verdict(stageMAIL, Refused, Reply{Code: 550}), false},
		"failure on our side":               {failure(stageDATA, &Error{Kind: Local}), false},
		"our context ended before a reply":  {failure(stageMAIL, &Error{Kind: Aborted}), false},
		"malformed reply before any answer": {lost(stageMAIL, errMalformed), false},
	} {
		if got := c.e.stale(); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestReceipt: the outcome of an end applies to the recipients that have none of their own, and the
// outcome of the message follows from theirs.
func TestReceipt(t *testing.T) {
	taken, full, unknown := Reply{Code: 250}, Reply{Code: 452}, Reply{Code: 550}
	queued := Reply{Code: 250, Text: "Ok: queued as ABC"}
	for _, c := range []struct {
		name    string
		rcpt    []RecipientReceipt // after RCPT
		e       *end
		outcome Outcome
		each    []Outcome
		queueID string
	}{
		{"withheld", []RecipientReceipt{{}, {}}, withheld(stageMAIL, "too large", nil), Withheld, []Outcome{Withheld, Withheld}, ""},
		{"before RCPT", []RecipientReceipt{{}, {}}, verdict(stageMAIL, Refused, unknown), Refused, []Outcome{Refused, Refused}, ""},
		{"no recipients", nil, verdict(stageMAIL, Refused, unknown), Refused, nil, ""},
		{"all delivered", []RecipientReceipt{{Reply: taken}, {Reply: taken}}, verdict(stageDot, Delivered, queued), Delivered, []Outcome{Delivered, Delivered}, "ABC"},
		{"one refused", []RecipientReceipt{{Reply: taken}, {Reply: unknown, Outcome: Refused}}, verdict(stageDot, Delivered, queued), Delivered, []Outcome{Delivered, Refused}, "ABC"},
		{"one deferred", []RecipientReceipt{{Reply: taken}, {Reply: full}}, verdict(stageDot, Delivered, queued), Deferred, []Outcome{Delivered, Deferred}, "ABC"},
		{"refused at the dot", []RecipientReceipt{{Reply: taken}, {Reply: full}}, verdict(stageDot, Refused, unknown), Deferred, []Outcome{Refused, Deferred}, ""},
		{"in doubt", []RecipientReceipt{{Reply: full}, {Reply: taken}, {Reply: unknown, Outcome: Refused}}, doubt(io.EOF), InDoubt, []Outcome{Deferred, InDoubt, Refused}, ""},
		{"each its own", []RecipientReceipt{{Reply: queued, Outcome: Delivered}, {Reply: taken}}, &end{each: true}, Deferred, []Outcome{Delivered, Deferred}, "ABC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTransaction(&Message{To: make([]string, len(c.rcpt))}, Client{}, []string{"", "a note"})
			tr.note("")
			tr.note("another")
			tr.recipients = slices.Clone(c.rcpt)
			r := tr.receipt(c.e)
			if r.Outcome != c.outcome || r.QueueID != c.queueID || r.Note != "a note; another" {
				t.Errorf("%+v", r)
			}
			for i, want := range c.each {
				got := r.Recipients[i]
				if got.Outcome != want {
					t.Errorf("recipient %d: %v, want %v", i, got.Outcome, want)
				}
				if decided := c.rcpt[i]; got.Stage != c.e.stage && got.Reply != decided.Reply {
					t.Errorf("recipient %d: %v at %q", i, got.Reply, got.Stage)
				}
			}
		})
	}
}

// TestClassify: an error of the wire gets its kind and step, one that has them keeps them.
func TestClassify(t *testing.T) {
	known := &Error{Kind: Protocol, Op: "RSET"}
	if got := classify(stageMAIL, known); got != known || got.Op != "RSET" {
		t.Errorf("%+v", got)
	}
	if got := classify(stageMAIL, &Error{Kind: Protocol}); got.Op != stageMAIL {
		t.Errorf("%+v", got)
	}
	if got := classify(stageMAIL, errors.New("x")); got.Kind != Unreachable || got.Op != stageMAIL {
		t.Errorf("%+v", got)
	}
}
