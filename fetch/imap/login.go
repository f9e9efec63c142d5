package imap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	gosasl "github.com/emersion/go-sasl"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// login is the dialogue up to the authenticated state (RFC 9051 section 3). The library takes over
// after TLS only: its own STARTTLS would put TLS above the guard, which could then read nothing.
func (c *Client) login(ctx context.Context) error {
	// Implicit TLS is completed first, so that its errors are not taken for the greeting's.
	if t, ok := c.g.raw.(*tls.Conn); ok {
		c.secure = true
		if err := c.g.handshake(ctx, t); err != nil {
			return err
		}
	}
	preauth, err := c.greeting()
	if err != nil {
		return err
	}
	if c.opts.StartTLS && !c.secure {
		if preauth {
			return tlsError("greeting", "the server sent PREAUTH, after which STARTTLS is not possible")
		}
		if err := c.startTLS(ctx); err != nil {
			return err
		}
	}
	mayBePlain := c.opts.Credentials.AllowPlaintext && !preauth
	if !c.secure && !mayBePlain {
		e := tlsError("authentication", "the connection is not encrypted")
		e.Advice = "use TLS, or allow plaintext for this account"
		return e
	}
	if c.caps == nil {
		if err := c.listed(c.command("H0", "CAPABILITY")); err != nil {
			return err
		}
	}
	// The library is given a greeting that holds the capabilities, so that it does not ask for them by itself.
	word := "OK"
	if preauth {
		word = "PREAUTH"
	}
	c.g.offered = libraryCapabilities(c.caps)
	c.g.out = fmt.Appendf(nil, "* %s [CAPABILITY %s] ready\r\n", word, c.g.offered)
	c.g.secured = true
	c.lib = imapclient.New(c.g, nil)
	if preauth {
		return nil
	}
	if err := c.authenticate(ctx); err != nil {
		return err
	}
	// The reply to the authentication may bring the capabilities; else they are asked for, as others may be
	// offered now (RFC 9051 section 6.1.1).
	if c.caps = c.g.noted().caps; c.caps != nil {
		return nil
	}
	_, err = c.lib.Capability().Wait()
	return c.listed(c.failed("CAPABILITY", err))
}

// listed takes the capabilities after a CAPABILITY command. A server that refuses it, or lists none, can do what every server can: it
// must say so (RFC 3501 section 6.1.1), but nothing depends on that.
func (c *Client) listed(err error) error {
	var refused *fetch.Error
	isRefusal := errors.As(err, &refused) && refused.Kind == fetch.Refused
	if err != nil && !isRefusal {
		return err
	}
	if c.caps = c.g.noted().caps; len(c.caps) == 0 {
		c.caps = map[string]bool{"IMAP4REV1": true}
	}
	return nil
}

func tlsError(op, why string) *fetch.Error {
	return &fetch.Error{Kind: fetch.TLS, Op: op, Err: errors.New(why),
		Advice: "someone may be tampering with the connection, or the port is the wrong one"}
}

// maxBlank bounds the empty lines before the greeting.
const maxBlank = 3

// greeting reads the first line (RFC 9051 section 7.1).
func (c *Client) greeting() (preauth bool, err error) {
	_, err = c.g.nextLine()
	for range maxBlank { // an empty line says nothing
		if err != nil || c.g.lex.kind != other || len(c.g.lex.name) > 0 {
			break
		}
		_, err = c.g.nextLine()
	}
	if err != nil {
		var broken *brokenError
		if !errors.As(err, &broken) {
			return false, c.lost("greeting", err)
		}
		// It is no IMAP greeting at all: balancers and firewalls say in their own way what is wrong.
		e := protocolError("greeting", broken.why, c.g.line)
		if kind, _ := fetch.Judge(fetch.Entry, "", e.Text); kind == fetch.Busy {
			e.Kind = kind
		}
		return false, e
	}
	x := &c.g.lex
	if x.kind != untagged {
		e := protocolError("greeting", "the server does not greet as IMAP servers do", x.text)
		if x.kind == continuation && bytes.HasPrefix(x.text, []byte("OK")) { // "+OK" to POP3
			e.Advice = "this port speaks POP3: fetch by POP3, or correct the port"
		}
		return false, e
	}
	switch strings.ToUpper(string(x.name)) {
	case "OK":
	case "PREAUTH":
		preauth = true
	case "BYE":
		return false, c.byeError("greeting")
	default:
		return false, statusError("greeting", string(x.name), x.text)
	}
	c.caps = c.g.noted().caps
	return preauth, nil
}

// command sends one command before the library takes over and reads to its end.
func (c *Client) command(tag, verb string) error {
	if _, err := c.g.Write([]byte(tag + " " + verb + "\r\n")); err != nil {
		return c.lost(verb, err)
	}
	for {
		line, err := c.g.nextLine()
		if err != nil {
			return c.lost(verb, err)
		}
		switch x := &c.g.lex; {
		case x.literal >= 0 || x.kind == continuation:
			return protocolError(verb, "not what was asked for", line)
		case x.kind != tagged:
			continue
		case !bytes.HasPrefix(line, []byte(tag+" ")):
			return protocolError(verb, "reply to a command that was not sent", line)
		case strings.EqualFold(string(x.name), "OK"):
			return nil
		default:
			return statusError(verb, string(x.name), x.text)
		}
	}
}

// startTLS is RFC 9051 section 6.2.1.
func (c *Client) startTLS(ctx context.Context) error {
	if c.caps != nil && !c.caps["STARTTLS"] {
		return &fetch.Error{Kind: fetch.TLS, Op: "STARTTLS", Err: errors.New("the server does not offer it"),
			Advice: "use implicit TLS (port 993) if the server has it"}
	}
	if c.opts.TLS == nil {
		return &fetch.Error{Kind: fetch.TLS, Op: "STARTTLS", Err: errors.New("no TLS configuration")}
	}
	err := c.command("H1", "STARTTLS")
	var refused *fetch.Error
	if errors.As(err, &refused) && refused.Kind == fetch.Refused {
		refused.Kind = fetch.TLS
	}
	if err != nil {
		return err
	}
	// What has arrived in plaintext after that line would be taken as if it came under TLS (response injection).
	if n := c.g.br.Buffered(); n > 0 {
		return tlsError("STARTTLS", fmt.Sprintf("%d octets of plaintext after the reply", n))
	}
	t := tls.Client(c.g.raw, c.opts.TLS)
	if err := c.g.handshake(ctx, t); err != nil {
		return err
	}
	c.g.br = bufio.NewReaderSize(readerFunc(c.g.receive), 32<<10)
	c.g.mu.Lock()
	c.g.conn = t
	c.g.mu.Unlock()
	// Everything the server said before is forgotten.
	c.g.lex = lexer{limit: c.g.lex.limit, uidOf: c.g.lex.uidOf, asked: c.g.lex.asked, bodies: c.g.lex.bodies, prose: c.g.lex.prose}
	c.g.amend(func(n *notes) { *n = notes{arrived: n.arrived} })
	c.secure, c.caps = true, nil
	return nil
}

// libraryCapabilities lists capabilities, in upper case, as the library should see them.
func libraryCapabilities(caps map[string]bool) string {
	return capabilityList(strings.Join(slices.Sorted(maps.Keys(caps)), " "))
}

// authenticate proves the user by the best way that the server offers and completes.
func (c *Client) authenticate(ctx context.Context) error {
	var offered []string
	for name := range c.caps {
		if mechanism, ok := strings.CutPrefix(name, "AUTH="); ok {
			offered = append(offered, mechanism)
		}
	}
	slices.Sort(offered)
	cred := c.opts.Credentials
	if t, ok := c.g.conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		cred.TLS = &state
	}
	// The LOGIN command shows the password as PLAIN does. RFC 9051 section 6.2.3:
	// it is not to be tried where LOGINDISABLED says so.
	if !c.caps["LOGINDISABLED"] {
		byPassword := slices.Contains([]string{sasl.Plain, sasl.Login}, strings.ToUpper(string(cred.Mechanism)))
		if byPassword && !slices.Contains(offered, strings.ToUpper(string(cred.Mechanism))) {
			cred.Mechanism = sasl.User
		}
		offered = append(offered, sasl.User)
	}
	attempts := sasl.NewAttempts(offered, cred, c.secure)
	used, err := attempts.Run(ctx, c.try)
	if err != nil {
		return err
	}
	c.mechanism, c.refused = used, attempts.Refused
	attempts.Log(ctx, c.opts.Logger, used)
	return nil
}

// try proves the user in one way. unparsed says that the server answered BAD: that it could not read the command.
func (c *Client) try(mechanism string, client gosasl.Client) (unparsed bool, err error) {
	c.g.authenticating(func(words string) bool { return sasl.Echoes(client, words) })
	defer c.g.authenticating(nil)
	op := "LOGIN"
	if mechanism == sasl.User {
		err = c.lib.Login(c.opts.Credentials.User, c.opts.Credentials.Password).Wait()
	} else {
		op = "AUTHENTICATE " + mechanism
		c.g.prompts = firstEmpty
		switch {
		case mechanism == sasl.Login:
			c.g.prompts = noContent
		case mechanism == sasl.CRAMMD5, c.Has("SASL-IR"): // RFC 4959: its initial response goes out with the command
			c.g.prompts = asTheyAre
		}
		err = c.lib.Authenticate(client)
	}
	var reply *imapwire.Error
	var refused *fetch.Error
	switch {
	case err == nil:
		return false, sasl.Finish(client)
	case errors.As(err, &reply):
		unparsed = reply.Type == imapwire.StatusResponseTypeBad
	case errors.As(err, &refused):
		// The mechanism does not go on; the server must be told (RFC 9051 section 6.2.2). The library then reads its reply.
		if _, lost := c.g.Write([]byte("*\r\n")); lost != nil {
			return false, c.lost(op, lost)
		}
	}
	// A server that echoes the command would have the password logged, or the token, or either in base64.
	said := c.g.noted().bye + " " + c.g.noted().prose // by the server: what is shown may be cut within the secret
	switch {
	case reply != nil:
		said += " " + string(reply.Code) + " " + reply.Text
	case errors.Is(c.g.why(), errLibrary):
		said += " " + err.Error() // quotes what could not be understood
	}
	err = sasl.Explain(client, c.failed(op, err))
	var e *fetch.Error
	if errors.As(err, &e) && sasl.Echoes(client, said+" "+e.Text) {
		err = &fetch.Error{Kind: e.Kind, Op: op, Advice: e.Advice, Err: errors.New("the server echoed the secret, its words are withheld")}
	}
	return unparsed, err
}
