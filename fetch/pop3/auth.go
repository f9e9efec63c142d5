package pop3

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// authenticate proves the user by the best way that the server offers and completes. The caller has made sure that
// credentials may be sent over this connection.
func (c *Client) authenticate(ctx context.Context) error {
	cred := c.opts.Credentials
	cred.AllowPlaintext = true
	for _, layer := range []net.Conn{c.w.raw, c.w.conn} { // TLS from the start, or by STLS
		if t, ok := layer.(*tls.Conn); ok {
			state := t.ConnectionState()
			cred.TLS = &state
		}
	}
	c.w.hidden = true
	defer func() { c.w.hidden, c.w.said = false, "" }()
	attempts := sasl.NewAttempts(c.offered(cred), cred, c.secure)
	used, err := attempts.Run(ctx, func(name string, client gosasl.Client) (bool, error) {
		var err error
		switch name {
		case sasl.User:
			err = c.userPass(cred)
		case sasl.APOP:
			err = c.apop(cred)
		default:
			err = c.auth(client)
		}
		// The words of a server that echoes what it was sent are withheld: the password would be logged with them.
		said := strings.TrimPrefix(c.w.said, "-ERR") // a word of the protocol's
		var e *fetch.Error
		if errors.As(err, &e) && e.Text != "" && sasl.Echoes(client, said+" "+e.Text) {
			err = &fetch.Error{Kind: e.Kind, Op: e.Op, Advice: e.Advice, Err: errors.New("the server echoed the secret, its words are withheld")}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	c.mechanism, c.refused = used, attempts.Refused
	attempts.Log(ctx, c.opts.Logger, used)
	return nil
}

// offered lists the ways to log in. A server is believed to have the command that the configuration names, and one without CAPA the
// mechanism, too. One whose CAPA names no way at all has forgotten USER, unless it waits for STLS (RFC 2449 section 6.3).
func (c *Client) offered(cred sasl.Credentials) []string {
	offered := strings.Fields(c.caps["SASL"]) // RFC 5034 section 3
	wanted := strings.ToUpper(string(cred.Mechanism))
	switch {
	case wanted == sasl.User || wanted == sasl.APOP:
		return []string{wanted}
	case c.caps == nil && wanted != "":
		return []string{wanted}
	case c.caps == nil && cred.Token != nil:
		return []string{sasl.XOAUTH2}
	}
	apop := timestamp(c.banner) != ""
	waits := !c.secure && c.has("STLS")
	silent := len(offered) == 0 && !apop && !waits
	if c.caps == nil || c.has("USER") || silent {
		offered = append(offered, sasl.User)
	}
	if apop {
		offered = append(offered, sasl.APOP)
	}
	return offered
}

// userPass is RFC 1939 section 7.
func (c *Client) userPass(cred sasl.Credentials) error {
	if err := checkArguments(cred); err != nil {
		return err
	}
	if err := c.w.send("USER "+cred.User, "USER "+cred.User); err != nil {
		return err
	}
	r, err := c.w.reply("USER")
	if err != nil {
		return err
	}
	if !r.ok {
		return r.failure("USER", fetch.Auth)
	}
	return c.sendSecret("PASS "+cred.Password, "PASS")
}

// apop is RFC 1939 section 7.
func (c *Client) apop(cred sasl.Credentials) error {
	if err := checkArguments(cred); err != nil {
		return err
	}
	stamp := timestamp(c.banner)
	if stamp == "" {
		return &fetch.Error{Kind: fetch.Auth, Op: "APOP", Err: errors.New("the greeting has no usable timestamp")}
	}
	sum := md5.Sum([]byte(stamp + cred.Password))
	return c.sendSecret("APOP "+cred.User+" "+hex.EncodeToString(sum[:]), "APOP")
}

// timestamp returns the msg-id in a greeting, "" if there is none. Octets that no msg-id has serve to reconstruct the
// password (CVE-2007-1558).
func timestamp(banner string) string {
	_, rest, opened := strings.Cut(banner, "<")
	id, _, closed := strings.Cut(rest, ">")
	odd := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
	if !opened || !closed || odd || strings.Count(id, "@") != 1 {
		return ""
	}
	return "<" + id + ">"
}

// sendSecret sends a command with a secret in it and takes the verdict.
func (c *Client) sendSecret(command, verb string) error {
	if err := c.w.send(command, verb+" ***"); err != nil {
		return err
	}
	r, err := c.w.reply(verb)
	if err != nil {
		return err
	}
	if !r.ok {
		return r.failure(verb, fetch.Auth)
	}
	return nil
}

// checkArguments refuses what would end the command and begin another.
func checkArguments(cred sasl.Credentials) error {
	why := ""
	switch {
	case cred.User == "" || cred.Password == "":
		why = "no user name or no password"
	case strings.ContainsAny(cred.User, "\r\n\x00") || strings.ContainsAny(cred.Password, "\r\n\x00"):
		why = "CR, LF or NUL in the user name or password"
	case len(cred.User) > maxArgument || len(cred.Password) > maxArgument:
		why = "user name or password too long"
	default:
		return nil
	}
	return &fetch.Error{Kind: fetch.Auth, Op: "authentication", Err: errors.New(why)}
}

// maxArgument bounds a user name or password in a command, in octets; maxCommand is
// the longest command (RFC 2449 section 4).
const (
	maxArgument = 1000
	maxCommand  = 255
)

// auth drives a mechanism through AUTH (RFC 5034 section 4).
func (c *Client) auth(client gosasl.Client) error {
	name, initial, err := client.Start()
	if err != nil {
		return &fetch.Error{Kind: fetch.Auth, Op: "AUTH", Err: err}
	}
	command := "AUTH " + name
	pending := initial != nil
	// Microsoft takes the response to XOAUTH2 on a line of its own only.
	if pending && name != sasl.XOAUTH2 {
		// "=" is an empty response, which is not the same as none.
		inline := command + " " + cmp.Or(base64.StdEncoding.EncodeToString(initial), "=")
		if len(inline)+len("\r\n") <= maxCommand {
			command, pending = inline, false
		}
	}
	if err := c.w.send(command, "AUTH "+name+" ***"); err != nil {
		return err
	}
	for {
		challenge, r, err := c.challenge(pending || name == sasl.Login)
		if err != nil {
			return err
		}
		switch {
		case challenge != nil:
		case !r.ok:
			return sasl.Explain(client, r.failure("AUTH", fetch.Auth))
		case pending:
			return protocolError("AUTH", "success before anything was proved", nil)
		default:
			return sasl.Finish(client)
		}
		response := initial
		if !pending {
			response, err = client.Next(challenge)
		}
		pending = false
		if err != nil {
			if c.w.send("*", "*") == nil { // cancels the exchange
				_, _ = c.w.reply("AUTH") // it can only be a refusal, and the cause is known
			}
			return err
		}
		if err := c.w.send(base64.StdEncoding.EncodeToString(response), "***"); err != nil {
			return err
		}
	}
}

// challenge reads a challenge, or the reply that ends the exchange with challenge nil. One that is a mere prompt may be prose.
func (c *Client) challenge(prompt bool) (challenge []byte, r reply, err error) {
	c.w.clock.restart()
	line, err := c.w.line("AUTH")
	if err != nil {
		return nil, reply{}, err
	}
	if r, ok := parseReply(line); ok {
		c.w.trace("S", string(line))
		return nil, r, nil
	}
	status, rest, _ := strings.Cut(string(line), " ")
	if status != "+" {
		return nil, reply{}, protocolError("AUTH", "neither a challenge nor a reply", line)
	}
	// A challenge may quote what it was sent: it is not logged.
	c.w.trace("S", "+ ***")
	text := strings.TrimSpace(rest)
	if prompt {
		return []byte{}, reply{}, nil
	}
	challenge = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(challenge, []byte(text))
	if err != nil {
		return nil, reply{}, protocolError("AUTH", "a challenge that is not base64", nil)
	}
	return challenge[:n], reply{}, nil
}
