// Package injecttest holds an SMTP and LMTP server that speaks XCLIENT as Postfix does,
// applies access rules to the presented client, keeps what it accepted, and fails on
// demand at any stage. It serves tests, benchmarks and demonstrations; it delivers nowhere.
// [StartPostfix] runs a real Postfix of one's own beside it.
package injecttest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Attributes are those that Postfix offers, in its order.
func Attributes() []string {
	return []string{"NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT"}
}

// Options say how a [Server] behaves. The zero value takes everything from everybody and
// lets each session present as many clients as it likes.
type Options struct {
	// Hostname is the name in the greeting, "mx.example.org" if "".
	Hostname string
	// LMTP speaks RFC 2033.
	LMTP bool
	// XCLIENT are the attributes offered: all if nil, none and no verb if empty.
	XCLIENT []string
	// XFORWARD are the attributes of XFORWARD offered, none if empty.
	XFORWARD []string
	// KeepsUnavailable leaves an attribute as it was that is set to [UNAVAILABLE], as Dovecot does.
	KeepsUnavailable bool
	// NeedsAddr answers 501 to XCLIENT without an address, as Haraka does.
	NeedsAddr bool
	// Before23 takes XCLIENT as Postfix before 2.3: values are not xtext, and the session stays where it was.
	Before23 bool
	// PROXY waits for a header of the PROXY protocol before the greeting, and takes the client from it.
	PROXY bool
	// MessageLimit answers 421 to MAIL after so many messages in a session, as Exim's smtp_accept_max_per_connection does. 0
	// is no limit.
	MessageLimit int
	// Queued is the reply to the dot of a message that is taken, with %s for its id; that of Postfix if "".
	Queued string
	// NeedsAuth takes no mail before AUTH, and no XCLIENT after it, as Dovecot's submission server does.
	NeedsAuth bool
	// Once takes XCLIENT only while the client is a loopback address, as
	// smtpd_authorized_xclient_hosts=127.0.0.0/8 does: once in each session.
	Once bool
	// Without lists extensions not to offer: "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN",
	// "CHUNKING", "SIZE".
	Without []string
	// NoEHLO answers EHLO with 502: a server of RFC 821.
	NoEHLO bool
	// TLS offers STARTTLS with this configuration.
	TLS *tls.Config
	// Users are the names and passwords for AUTH PLAIN, which is offered if there are any.
	Users map[string]string
	// SizeLimit is the largest message in octets, 0 for none.
	SizeLimit int64
	// Recipients are the known ones, in lower case; nil means all.
	Recipients []string
	// ErrorLimit ends a session with 421 after so many errors, JunkLimit has each EHLO, RSET and NOOP beyond so many count as
	// one, as Postfix's smtpd_hard_error_limit and smtpd_junk_command_limit do: an accepted message clears the
	// counts, XCLIENT does not. 0 is no limit.
	ErrorLimit, JunkLimit int
	// Idle ends a session with 421 that says nothing between two commands for so long. 0 waits for ever.
	Idle time.Duration
	// Rules are applied to the presented client.
	Rules Rules
	// Faults are what goes wrong.
	Faults []Fault
	// Discard forgets the content of accepted messages; Messages then only counts.
	Discard bool
	// Record keeps the dialogues for [Server.Transcript].
	Record bool
	// Accepted, if not nil, is called with each accepted message before the reply to its dot.
	Accepted func(Message)
}

// Client is a client as the server saw it, in the words of XCLIENT.
type Client struct {
	Name, Addr, ReverseName, Port, Proto, HELO, Login, DestAddr, DestPort string
}

// Message is one accepted message.
type Message struct {
	Client Client
	// Hello is the name of the last EHLO, HELO or LHLO.
	Hello string
	// From and To are the paths without angle brackets; FromParams and ToParams what followed them.
	From       string
	FromParams string
	To         []string
	ToParams   []string
	// Data is the content with dots unstuffed, nil where it was discarded.
	Data []byte
	// Octets is the length of the content.
	Octets int
	// Chunks counts the BDAT commands, 0 for DATA.
	Chunks int
	// Bare says that the content held a CR or LF on its own.
	Bare bool
	// TLS says that it came within TLS.
	TLS     bool
	User    string
	QueueID string
	Time    time.Time
}

// Server is the server. All methods may be called from several goroutines.
type Server struct {
	o Options

	mu         sync.Mutex
	listener   net.Listener
	conns      map[net.Conn]struct{}
	closed     bool
	messages   []Message
	accepted   int
	sessions   int
	errors     int
	seen       map[Stage]int
	greylist   map[string]bool
	transcript []string

	serving sync.WaitGroup
	readers sync.Pool // of *bufio.Reader
}

// New returns a server. It serves connections from [Server.Dial] at once, and the network after
// [Server.Listen]. It must be closed.
func New(o Options) *Server {
	if o.Hostname == "" {
		o.Hostname = "mx.example.org"
	}
	if o.Queued == "" {
		o.Queued = "250 2.0.0 Ok: queued as %s"
	}
	if o.XCLIENT == nil {
		o.XCLIENT = Attributes()
	}
	return &Server{o: o, conns: map[net.Conn]struct{}{}, seen: map[Stage]int{}, greylist: map[string]bool{}}
}

// Listen serves a network address, such as "tcp" "127.0.0.1:0" or "unix" "/path".
func (s *Server) Listen(network, addr string) error {
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		return errors.Join(errors.New("injecttest: closed or already listening"), l.Close())
	}
	s.listener = l
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.Serve(conn) })
		}
	})
	return nil
}

// Start listens on a free port of 127.0.0.1 and returns its address.
func (s *Server) Start() (net.Addr, error) {
	if err := s.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	return s.Addr(), nil
}

// Addr is where the server listens, nil if it does not.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Dial connects to the server: over the network if it listens, else over a pipe within the
// process. It is an inject.Dialer.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if a := s.Addr(); a != nil {
		var d net.Dialer
		return d.DialContext(ctx, a.Network(), a.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("injecttest: connection refused")
	}
	client, server := net.Pipe()
	s.serving.Go(func() { s.Serve(server) })
	return client, nil
}

// Serve holds the dialogue on raw and closes it.
func (s *Server) Serve(raw net.Conn) {
	defer func() { _ = raw.Close() }()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns[raw] = struct{}{}
	s.sessions++
	id := s.sessions
	s.mu.Unlock()
	r, ok := s.readers.Get().(*bufio.Reader)
	if !ok {
		r = bufio.NewReaderSize(nil, readSize)
	}
	defer s.readers.Put(r)
	r.Reset(raw)
	c := &conn{s: s, id: id, raw: raw, r: r, w: bufio.NewWriter(raw)}
	c.client = Client{Name: "localhost", Addr: "127.0.0.1", ReverseName: "localhost", Port: "[UNAVAILABLE]",
		Proto: "SMTP", HELO: "[UNAVAILABLE]", Login: "[UNAVAILABLE]", DestAddr: "[UNAVAILABLE]", DestPort: "[UNAVAILABLE]"}
	c.serve()
	s.mu.Lock()
	delete(s.conns, raw)
	s.mu.Unlock()
}

// Close ends all connections and waits until they are gone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

// Messages returns the accepted messages in the order of acceptance, none if they are discarded.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count returns how many messages were accepted.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Sessions returns how many connections there were.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Connected returns how many connections are open now.
func (s *Server) Connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// MostErrors returns the most errors that a session had between two accepted messages.
func (s *Server) MostErrors() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors
}

// Transcript returns the recorded dialogues, each line "C: " or "S: " and what was said, or
// "# " and a remark. Lines of sessions held at the same time are mixed.
func (s *Server) Transcript() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.transcript)
}

func (s *Server) record(line string) {
	if !s.o.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transcript = append(s.transcript, line)
}

func (s *Server) keep(m Message) {
	if s.o.Accepted != nil {
		s.o.Accepted(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
	if !s.o.Discard {
		s.messages = append(s.messages, m)
	}
}

// offers reports whether an extension is offered.
func (s *Server) offers(keyword string) bool {
	return !slices.Contains(s.o.Without, keyword)
}

func upper(s string) string { return strings.ToUpper(s) }
