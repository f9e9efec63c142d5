package received

import (
	"net/netip"
	"time"
)

// A Kind says what sort of hand-over a Received field records.
type Kind string

// The kinds of hand-over.
const (
	SMTP       Kind = "smtp"       // SMTP or ESMTP between servers
	Submission Kind = "submission" // SMTP with authentication
	LMTP       Kind = "lmtp"       // delivery to a store, RFC 2033
	MAPI       Kind = "mapi"       // a client of an Exchange store
	HTTP       Kind = "http"       // webmail, or a store that speaks HTTP
	Local      Kind = "local"      // a program on the writer's own host
	Fetch      Kind = "fetch"      // a mail fetcher over POP3, IMAP, ODMR, ETRN
	Other      Kind = "other"      // a protocol that carries no mail, or that nobody knows
	ByOnly     Kind = "by-only"    // no peer is recorded
	Noise      Kind = "noise"      // a remark that names neither peer nor writer
)

// A Hop is what one Received field says. The zero value of a field means that
// the writer did not record it.
//
// Strings are as the writer put them, without folding: HELO is text of the
// client's choosing, and any of them may hold control characters and octets
// above 127. Clean them before they reach a log or a terminal.
type Hop struct {
	// HELO is the argument of HELO or EHLO. Some forms record it only where it
	// differs from the name; it is then the name.
	HELO string

	// Name is the name that the writer's own lookup gave for Addr, without a
	// final dot. NameVerified says that the writer also found Addr among the
	// addresses of Name. A name that is not verified was chosen by whoever
	// holds the reverse zone.
	Name         string
	NameVerified bool

	// Addr is the address of the connection that the writer saw: never taken
	// from HELO text. It may be an internal one: see [Public].
	Addr netip.Addr
	Port uint16 // 0 if not recorded

	// AddrUncertain says that the field has one address, in the place of the
	// name, and that the form does not show whether the writer saw it or the
	// client gave it; or that its writer shows no address of a user who logged
	// in, and so it is his HELO. Such an address is never the client of a
	// [Boundary].
	AddrUncertain bool

	By     string     // the writer, as it names itself: a host name or an address
	ByAddr netip.Addr // the writer's address, if it says one

	With          string // protocol, as written: "ESMTPS", "Microsoft SMTP Server"
	Via           string // as written: "Frontend Transport", "listexpand"
	ESMTP         bool   // the client said EHLO
	TLS           bool   // the session was encrypted
	TLSVersion    string // "TLSv1.3", however the writer spells it
	TLSCipher     string // as written
	Authenticated bool   // the client logged in

	ID           string    // queue id
	For          string    // recipient, without angle brackets; see [Hop.Recipients]
	EnvelopeFrom string    // sender, without angle brackets
	Time         time.Time // in UTC
	Zone         string    // the zone of the date, as written: "+0100", "PST"

	// Form names the writer's software by the way it writes: "postfix",
	// "exim", "exchange", "generic", ...
	Form string
	Kind Kind

	// Raw is the field's body as it was given to [Parse], folding included. It is empty
	// if the field is too long to be read.
	Raw string
	// Position is the number of the field in its [Chain], from the top, 1 for the
	// topmost. It is 0 for a field that [Parse] read alone.
	Position int

	// Err is set if the address of the field cannot be trusted: bad syntax, more
	// than one candidate, a doubtful spelling of the address, no writer. It is a
	// *ParseError. What could be read is kept; Addr is kept only if it is beyond
	// doubt.
	Err error

	more []string // recipients beside For
}

// A ParseError says why a Received field cannot be trusted.
type ParseError struct {
	Reason string // a few words, none of them from the field
}

func (e *ParseError) Error() string { return "received: " + e.Reason }

// The reasons for [Hop.Err], compared with errors.Is.
var (
	ErrEmpty            = &ParseError{"empty field"}
	ErrTooLong          = &ParseError{"field longer than 64 KiB"}
	ErrTooComplex       = &ParseError{"more parts than any writer has"}
	ErrControl          = &ParseError{"NUL, or CR or LF that does not fold"}
	ErrUnclosed         = &ParseError{"comment without end"}
	ErrStrayParenthesis = &ParseError{"closing parenthesis without a comment"}
	ErrQuotedClause     = &ParseError{"quoted string that could hide a clause"}
	ErrNoWriter         = &ParseError{"no writer (by)"}
	ErrTwoWriters       = &ParseError{"more than one writer (by)"}
	ErrTwoAddresses     = &ParseError{"more than one address in the place of the peer"}
	ErrDoubtfulAddress  = &ParseError{"doubtful spelling of the peer's address"}
	ErrUnknownPeer      = &ParseError{"unknown form of the peer"}
	ErrShape            = &ParseError{"no shape of a Received field"}
	ErrSpaceBeforeColon = &ParseError{"white space before the colon"}
	ErrNoField          = &ParseError{"line in the header that is no field"}
	ErrTooManyFields    = &ParseError{"more Received fields than are read"}
	ErrHeaderTooLong    = &ParseError{"header longer than is read"}
)
