package pop3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// authenticate picks AUTH, USER or APOP. The caller has made sure that
// credentials may be sent over this connection.
func (c *Client) authenticate(ctx context.Context) error {
	cred := c.opts.Credentials
	cred.AllowPlaintext = true
	c.w.hidden = true
	defer func() { c.w.hidden, c.w.said = false, "" }()
	switch {
	case cred.Token != nil:
	case strings.EqualFold(string(cred.Mechanism), "USER"):
		return c.discreet(c.userPass(cred), cred.Echoed)
	case strings.EqualFold(string(cred.Mechanism), "APOP"):
		return c.discreet(c.apop(cred), cred.Echoed)
	}
	_, client, err := sasl.Choose(ctx, c.offered(cred), cred, c.secure)
	if err == nil {
		return c.discreet(c.auth(client), func(words string) bool { return sasl.Echoes(client, words) })
	}
	if cred.Mechanism == "" && cred.Token == nil && (c.caps == nil || c.has("USER")) {
		return c.discreet(c.userPass(cred), cred.Echoed)
	}
	return err
}

// discreet withholds the words of a server that echoes what it was sent: the
// password would be logged with them.
func (c *Client) discreet(err error, echoes func(words string) bool) error {
	var e *fetch.Error
	if errors.As(err, &e) && e.Text != "" && echoes(c.w.said+" "+e.Text) {
		return &fetch.Error{Kind: e.Kind, Op: e.Op, Hint: e.Hint, Err: errors.New("the server echoed the secret, its words are withheld")}
	}
	return err
}

// offered lists the mechanisms of the SASL capability (RFC 5034 section 3). A server
// without CAPA is believed to have the one that the configuration names.
func (c *Client) offered(cred sasl.Credentials) []string {
	switch {
	case c.caps != nil:
		return strings.Fields(c.caps["SASL"])
	case cred.Mechanism != "":
		return []string{string(cred.Mechanism)}
	case cred.Token != nil:
		return []string{sasl.XOAUTH2}
	}
	return nil
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
	return c.prove("PASS "+cred.Password, "PASS")
}

// apop is RFC 1939 section 7.
func (c *Client) apop(cred sasl.Credentials) error {
	if err := checkArguments(cred); err != nil {
		return err
	}
	stamp, ok := timestamp(c.banner)
	if !ok {
		return &fetch.Error{Kind: fetch.Auth, Op: "APOP", Err: errors.New("the greeting has no usable timestamp")}
	}
	sum := md5.Sum([]byte(stamp + cred.Password))
	return c.prove("APOP "+cred.User+" "+hex.EncodeToString(sum[:]), "APOP")
}

// timestamp takes the msg-id from a greeting. Octets that no msg-id has serve
// to reconstruct the password (CVE-2007-1558).
func timestamp(banner string) (string, bool) {
	begin, end := strings.IndexByte(banner, '<'), strings.IndexByte(banner, '>')
	if begin < 0 || end < begin {
		return "", false
	}
	stamp := banner[begin : end+1]
	odd := strings.ContainsFunc(stamp, func(r rune) bool { return r <= ' ' || r > '~' })
	return stamp, !odd && strings.Count(stamp, "@") == 1
}

// prove sends a command with a secret in it and takes the verdict.
func (c *Client) prove(command, verb string) error {
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
	if inline := command + " " + encodeInitial(initial); pending && name != sasl.XOAUTH2 && len(inline)+2 <= maxCommand {
		command, pending = inline, false
	}
	if err := c.w.send(command, "AUTH "+name+" ***"); err != nil {
		return err
	}
	for {
		challenge, r, err := c.challenge()
		if err != nil {
			return err
		}
		if challenge == nil {
			return c.verdict(client, r, pending)
		}
		response := initial
		if !pending {
			response, err = client.Next(challenge)
		}
		pending = false
		if err != nil {
			return c.cancel(err)
		}
		if err := c.w.send(base64.StdEncoding.EncodeToString(response), "***"); err != nil {
			return err
		}
	}
}

// encodeInitial has "=" for an empty response, which is not the same as none.
func encodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// challenge reads a challenge, or the reply that ends the exchange with challenge nil.
func (c *Client) challenge() (challenge []byte, r reply, err error) {
	c.w.clock.restart()
	line, err := c.w.line("AUTH")
	if err != nil {
		return nil, reply{}, err
	}
	if r, ok := parseReply(line); ok {
		c.w.trace("S", string(line))
		return nil, r, nil
	}
	if len(line) == 0 || line[0] != '+' || len(line) > 1 && line[1] != ' ' {
		return nil, reply{}, broken("AUTH", "neither a challenge nor a reply", line)
	}
	// A challenge may quote what it was sent: it is not told.
	c.w.trace("S", "+ ***")
	text := strings.TrimSpace(string(line[1:]))
	challenge = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(challenge, []byte(text))
	if err != nil {
		return nil, reply{}, broken("AUTH", "a challenge that is not base64", nil)
	}
	return challenge[:n], reply{}, nil
}

func (c *Client) verdict(client gosasl.Client, r reply, unsent bool) error {
	if !r.ok {
		return r.failure("AUTH", fetch.Auth)
	}
	if unsent {
		return broken("AUTH", "success before anything was proved", nil)
	}
	return sasl.Finish(client)
}

// cancel ends an exchange that the client cannot go on with.
func (c *Client) cancel(cause error) error {
	if c.w.send("*", "*") == nil {
		// The reply can only be a refusal, and the cause is known.
		_, _ = c.w.reply("AUTH")
	}
	return cause
}
