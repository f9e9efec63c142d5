package importer

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mbsyncSection is a section of an mbsyncrc: its keyword, its name, and the arguments of its other keywords in lower case.
type mbsyncSection struct {
	place
	kind, name string
	keys       map[string]mbsyncValue
}

// mbsyncValue are the arguments of a keyword.
type mbsyncValue struct {
	place
	words []string
}

// text is the first argument.
func (v mbsyncValue) text() string {
	if len(v.words) == 0 {
		return ""
	}
	return v.words[0]
}

// Mbsync reads an mbsyncrc.
func Mbsync(file string, text []byte, o Options) (*Plan, error) {
	m := &mbsync{Plan: begin("mbsync", file, o)}
	if err := m.parse(text); err != nil {
		return nil, err
	}
	for _, s := range m.sections {
		c, err := m.channel(s)
		if err != nil {
			return nil, err
		}
		if c != nil {
			m.channels = append(m.channels, c)
		}
	}
	if len(m.channels) == 0 {
		return nil, wrong(file, place{}, "no channel in it that fetches mail from an IMAP server")
	}
	for _, c := range m.channels {
		if err := m.take(c); err != nil {
			return nil, err
		}
	}
	for _, a := range m.Accounts[m.before.accounts:] {
		m.usualTarget(a)
	}
	m.note(place{}, "", "mbsync keeps two copies of a mailbox alike; truehop brings new mail to an MTA at %s and changes nothing else: what is read or deleted here stays as it is upstream", listener)
	return m.Plan, nil
}

// mbsync turns what an mbsyncrc says into a plan.
type mbsync struct {
	*Plan
	globals  map[string]mbsyncValue
	sections []*mbsyncSection
	// channels are those that become accounts.
	channels []*mbsyncChannel
}

// parse reads keywords line by line. A section ends at an empty line.
func (m *mbsync) parse(text []byte) error {
	// These stand in a section, or some of them before the first.
	keywords := strings.Fields("path maxsize mapinbox flatten trash trashnewonly trashremotenew altmap inbox infodelimiter subfolders " +
		"host port timeout user usercmd pass passcmd usekeychain tunnel authmechs authmech ssltype tlstype sslversions sslversion tlsversions " +
		"systemcertificates certificatefile clientcertificate clientkey cipherstring pipelinedepth disableextension disableextensions " +
		"requiressl usesslv2 usesslv3 usetlsv1 usetlsv1.1 usetlsv1.2 requirecram " +
		"account usenamespace pathdelimiter subscribedonly far near master slave pattern patterns maxmessages expireunread expiresolds expireside sync create " +
		"remove expunge expungesolo copyarrivaldate syncstate channel channels fsync fielddelimiter bufferlimit usetls useutf8mailboxes")
	m.globals = map[string]mbsyncValue{}
	var section *mbsyncSection
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		at := place{number, 1 + len(line) - len(strings.TrimLeft(line, " \t"))}
		if strings.IndexByte(line, 0) >= 0 || !utf8.ValidString(line) {
			return wrong(m.file, at, "this line holds a NUL octet, or is not UTF-8")
		}
		words, err := mbsyncWords(m.file, strings.TrimSpace(line), at)
		switch {
		case err != nil:
			return err
		case strings.TrimSpace(line) == "":
			section = nil
			continue
		case len(words) == 0: // a comment
			continue
		}
		keyword := strings.ToLower(words[0])
		opens := slices.Contains(strings.Fields("imapaccount imapstore maildirstore channel group"), keyword) && section == nil
		switch {
		case opens && len(words) < 2:
			return wrong(m.file, at, "%s needs a name", words[0])
		case opens:
			section = &mbsyncSection{at, keyword, words[1], map[string]mbsyncValue{}}
			if m.find(keyword, words[1]) != nil {
				return wrong(m.file, at, "%s %s stands there twice", words[0], show(words[1]))
			}
			m.sections = append(m.sections, section)
		case !slices.Contains(keywords, keyword):
			return wrong(m.file, at, "unknown keyword %s", show(words[0]))
		case len(words) < 2:
			return wrong(m.file, at, "%s lacks its value; put a value that begins with # in quotes, for else it is a comment", words[0])
		case section == nil:
			m.globals[keyword] = mbsyncValue{at, words[1:]}
		case keyword == "pattern", keyword == "patterns":
			v := section.keys["patterns"]
			section.keys["patterns"] = mbsyncValue{at, append(v.words, words[1:]...)}
		default:
			section.keys[keyword] = mbsyncValue{at, words[1:]}
		}
	}
	return nil
}

// mbsyncWords splits a line. Double quotes hold words together, a backslash takes the meaning of the next character, and a number
// sign that begins a word begins a comment.
func mbsyncWords(file, line string, at place) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '#' && !in:
			return words, nil
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			in = true
		case c == '"':
			quoted, in = !quoted, true
		case !quoted && strings.IndexByte(" \t", c) >= 0:
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quoted {
		return nil, wrong(file, at, "a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

func (m *mbsync) find(kind, name string) *mbsyncSection {
	i := slices.IndexFunc(m.sections, func(s *mbsyncSection) bool { return s.kind == kind && s.name == name })
	if i < 0 {
		return nil
	}
	return m.sections[i]
}

// mbsyncSide is one end of a channel.
type mbsyncSide struct {
	store   *mbsyncSection
	mailbox string
}

// side reads :store:mailbox.
func (m *mbsync) side(c *mbsyncSection, names ...string) (mbsyncSide, error) {
	for _, name := range names {
		v, ok := c.keys[name]
		if !ok {
			continue
		}
		rest, begins := strings.CutPrefix(v.text(), ":")
		store, mailbox, ends := strings.Cut(rest, ":")
		if !begins || !ends {
			return mbsyncSide{}, wrong(m.file, v.place, "%s wants :STORE:MAILBOX, found %s", name, show(v.text()))
		}
		for _, kind := range []string{"imapstore", "maildirstore"} {
			if s := m.find(kind, store); s != nil {
				return mbsyncSide{s, mailbox}, nil
			}
		}
		return mbsyncSide{}, wrong(m.file, v.place, "there is no store %s", show(store))
	}
	return mbsyncSide{}, wrong(m.file, c.place, "channel %s lacks %s", show(c.name), names[0])
}

// mbsyncChannel is a channel between an IMAP server and a maildir store.
type mbsyncChannel struct {
	*mbsyncSection
	far, near mbsyncSide
	// isFar says that the server is at the far side.
	isFar bool
}

// remote is the side of the server.
func (c *mbsyncChannel) remote() mbsyncSide {
	if c.isFar {
		return c.far
	}
	return c.near
}

// local is the side of the maildir store.
func (c *mbsyncChannel) local() mbsyncSide {
	if c.isFar {
		return c.near
	}
	return c.far
}

// channel reads a section, nil where it is no channel between an IMAP server and a maildir.
func (m *mbsync) channel(s *mbsyncSection) (*mbsyncChannel, error) {
	if s.kind != "channel" {
		return nil, nil
	}
	far, err := m.side(s, "far", "master")
	if err != nil {
		return nil, err
	}
	near, err := m.side(s, "near", "slave")
	if err != nil {
		return nil, err
	}
	c := &mbsyncChannel{s, far, near, far.store.kind == "imapstore"}
	if c.remote().store.kind != "imapstore" || c.local().store.kind != "maildirstore" {
		m.note(s.place, "", "channel %s is not between an IMAP server and a maildir, and is not carried over", show(s.name))
		return nil, nil
	}
	return c, nil
}

// take makes an account of a channel.
func (m *mbsync) take(c *mbsyncChannel) error {
	remote, account := c.remote(), c.remote().store
	if name := remote.store.keys["account"].text(); name != "" {
		if account = m.find("imapaccount", name); account == nil {
			return wrong(m.file, remote.store.place, "there is no IMAPAccount %s", show(name))
		}
	}
	a, err := m.addAccount(c.place, c.name)
	if err != nil {
		return err
	}
	a.set("protocol", "imap")
	if err := m.server(a, account); err != nil {
		return err
	}
	if err := m.login(a, account); err != nil {
		return err
	}
	m.folders(a, c)
	a.set("on_delivered", "keep")
	a.Remembers = true
	size := 0
	limit, ok := c.keys["maxsize"]
	if !ok {
		limit, ok = remote.store.keys["maxsize"]
	}
	if ok {
		if size, ok = mpopSize(strings.TrimSuffix(strings.ToLower(limit.text()), "b")); !ok {
			return wrong(m.file, limit.place, "MaxSize wants a size, found %s", show(limit.text()))
		}
		m.note(limit.place, a.Name, "MaxSize: larger messages stay upstream, held, and truehop status shows them")
	}
	a.set("max_size", octets(size))
	m.recipients(a, c.place, nil, "the user whose file it is")
	m.note(c.local().store.place, a.Name, "the maildir is not written by truehop: let the MTA or its delivery agent put mail there (Postfix: home_mailbox)")
	for _, s := range []map[string]mbsyncValue{c.keys, remote.store.keys, account.keys, m.globals} {
		for _, key := range slices.Sorted(maps.Keys(s)) {
			text := ""
			switch key {
			case "maxmessages", "expireunread":
				text = "what was delivered is never taken back"
			case "sync":
				text = "truehop only brings new mail; flags and deletions are not carried to and fro"
			case "create", "remove", "expunge":
				text = "truehop changes no folder; on_delivered says what becomes of delivered mail"
			case "trash", "trashnewonly", "trashremotenew", "mapinbox", "flatten", "subscribedonly":
				text = "there is nothing like it; folders says what is fetched from"
			case "copyarrivaldate":
				text = "mail arrives when the MTA has it"
			case "cipherstring":
				text = "the ciphers are those of Go"
			case "sslversions", "sslversion", "tlsversions":
				text = "truehop speaks TLS 1.2 and later; see tls_min_version"
			case "disableextension", "disableextensions":
				text = "there is nothing like it; only pipelining can be turned off"
			}
			if text != "" {
				m.note(s[key].place, a.Name, "%s: %s", key, text)
			}
		}
	}
	return m.seen(a, c)
}

// server says where the mailbox is and how it is reached.
func (m *mbsync) server(a *Account, s *mbsyncSection) error {
	tunnel, tunnelled := s.keys["tunnel"]
	host := s.keys["host"].text()
	if host == "" && tunnelled {
		host = "localhost"
		m.note(tunnel.place, a.Name, "host is written for people only: the command makes the connection")
	}
	if host == "" {
		return wrong(m.file, s.place, "Host is missing")
	}
	mode := s.keys["ssltype"]
	if v, ok := s.keys["tlstype"]; ok {
		mode = v
	}
	if rest, ok := strings.CutPrefix(host, "imaps:"); ok { // as older versions had it
		host, mode.words = rest, []string{"imaps"}
	}
	a.set("host", host)
	for _, key := range []string{"port", "timeout"} {
		v, ok := s.keys[key]
		if !ok {
			continue
		}
		n, err := strconv.Atoi(v.text())
		switch {
		case err != nil || n < 0 || n > 1<<20:
			return wrong(m.file, v.place, "%s wants a number, found %s", key, show(v.text()))
		case key == "port":
			a.set("port", n)
		case n > 0:
			a.set("timeout", seconds(min(n, 3600)))
		}
	}
	word := strings.ToLower(mode.text())
	if word == "" {
		word = "starttls"
		if tunnelled {
			word = "none"
		}
	}
	switch word {
	case "imaps":
		a.set("tls", "implicit")
	case "none":
		a.set("tls", "none")
		if !tunnelled {
			a.set("allow_plaintext", true)
			m.note(mode.place, a.Name, "without TLS password and mail are shown to everybody on the way, and so with tls: none")
		}
	case "starttls":
		a.set("tls", "starttls")
	default:
		return wrong(m.file, mode.place, "want None, STARTTLS or IMAPS, found %s", show(word))
	}
	if tunnelled {
		a.set("connect_command", command(tunnel.text()))
	}
	for _, file := range []struct{ theirs, ours string }{{"certificatefile", "tls_ca_file"}, {"clientcertificate", "tls_cert_file"}, {"clientkey", "tls_key_file"}} {
		if v, ok := s.keys[file.theirs]; ok {
			a.set(file.ours, m.expand(v.text()))
		}
	}
	if v, ok := s.keys["certificatefile"]; ok {
		m.note(v.place, a.Name, "CertificateFile: as tls_ca_file it takes the place of the system's authorities; a certificate of the host itself belongs into tls_pins, truehop check shows its sum")
	}
	if v, ok := s.keys["pipelinedepth"]; ok && v.text() == "1" {
		a.set("pipelining", "off")
	}
	return nil
}

// login says who logs in.
func (m *mbsync) login(a *Account, s *mbsyncSection) error {
	user := s.keys["user"].text()
	if v, ok := s.keys["usercmd"]; ok && user == "" {
		return wrong(m.file, v.place, "UserCmd is not run; write User with what it prints, and import again")
	}
	if user == "" {
		return wrong(m.file, s.place, "User is missing")
	}
	a.set("user", user)
	mechanisms := s.keys["authmechs"]
	token := false
	if len(mechanisms.words) == 1 {
		switch word := strings.ToLower(mechanisms.text()); word {
		case "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "external":
			a.set("auth", word)
		case "xoauth2", "oauthbearer":
			a.set("auth", word)
			token = true
		case "*":
		default:
			m.note(mechanisms.place, a.Name, "AuthMechs %s is not spoken; truehop takes the strongest mechanism that the server offers and it knows", show(word))
		}
	}
	if v, ok := s.keys["passcmd"]; ok {
		key := "password_command"
		if token {
			key = "token_command"
		}
		a.set(key, command(strings.TrimPrefix(v.text(), "+")))
		return nil
	}
	m.password(a, s.place, s.keys["pass"].text())
	if v, ok := s.keys["usekeychain"]; ok {
		m.note(v.place, a.Name, "UseKeychain: password_command can ask the keychain, see README.md")
	}
	return nil
}
