package importer

import (
	"cmp"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// Getmail reads a getmailrc, which has one account.
func Getmail(file string, text []byte, o Options) (*Plan, error) {
	sections, err := parseINI(file, text)
	if err != nil {
		return nil, err
	}
	g := &getmail{Plan: begin("getmail", file, o), options: sections["options"], retriever: sections["retriever"], destination: sections["destination"]}
	if g.options == nil {
		g.options = &iniSection{}
	}
	switch {
	case g.retriever == nil:
		return nil, wrong(file, place{}, "section [retriever] is missing")
	case g.destination == nil:
		return nil, wrong(file, place{}, "section [destination] is missing")
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if strings.HasPrefix(name, "filter") {
			g.note(sections[name].place, "", "[%s] is not carried over: let the MTA filter (milter, content_filter), it sees the true client now", name)
		}
	}
	kind := g.retriever.keys["type"]
	protocol, ssl := "pop3", strings.Contains(kind.text, "SSL")
	if strings.Contains(kind.text, "IMAP") {
		protocol = "imap"
	}
	speaks := strings.Contains(kind.text, "POP3") || protocol == "imap"
	if !speaks || !strings.HasSuffix(kind.text, "Retriever") {
		return nil, wrong(g.file, kind.place, "unknown type of retriever %s", show(kind.text))
	}
	for _, key := range []string{"server", "username"} {
		if g.retriever.keys[key].text == "" {
			return nil, wrong(g.file, g.retriever.place, "%s is missing in [retriever]", key)
		}
	}
	name := filepath.Base(g.file)
	if name == "getmailrc" || name == "-" {
		name = g.retriever.keys["server"].text
	}
	a, err := g.addAccount(g.retriever.place, name)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(*Account, string, bool) error{g.server, g.login, g.mailboxes, g.disposal, g.limits, g.deliver, g.seen} {
		if err := step(a, protocol, ssl); err != nil {
			return nil, err
		}
	}
	// What has no counterpart.
	g.unknown(a)
	for _, o := range []struct{ key, text string }{
		{"delete_bigger_than", "what is too large is held, never deleted"},
		{"message_log", "the log goes to standard error, or to the journal under systemd"},
		{"delivered_to", "the MTA writes Delivered-To"}, {"received", "the MTA writes Received, with the true client"},
		{"logfile", "the log goes to standard error, or to the journal under systemd"},
	} {
		if v, ok := g.options.keys[o.key]; ok {
			g.note(v.place, a.Name, "%s: %s", o.key, o.text)
		}
	}
	for _, o := range []struct{ key, text string }{
		{"record_mailbox", "the log says which folder a message came from"},
		{"use_kerberos", "Kerberos is not spoken"},
		{"imap_on_delete", "on_delivered says what becomes of delivered mail; other flags than \\Seen are not set"},
		{"ssl_version", "truehop speaks TLS 1.2 and later"}, {"ssl_ciphers", "the ciphers are those of Go"},
		{"delete_dup_msgids", "messages that share a unique-id are told apart by their content"},
	} {
		if v, ok := g.retriever.keys[o.key]; ok {
			g.note(v.place, a.Name, "%s: %s", o.key, o.text)
		}
	}
	return g.Plan, nil
}

// unknown tells of keys that getmail itself does not know, as it does.
func (g *getmail) unknown(a *Account) {
	known := map[*iniSection]string{
		g.options: "verbose read_all delete delete_after delete_bigger_than delivered_to received max_message_size max_messages_per_session max_bytes_per_session " +
			"message_log message_log_verbose message_log_syslog logfile fingerprint use_netrc netrc_file skip_imap_fetch_size to_oldmail_on_each_mail only_oldmail_file mark_read",
		g.retriever: "type server port username password password_command timeout keyfile certfile ca_certs ssl_fingerprints ssl_version ssl_ciphers ssl_cert_hostname " +
			"use_apop use_cram_md5 use_kerberos use_peek use_xoauth2 delete_dup_msgids mailboxes move_on_delete imap_on_delete imap_search imap_id_extension record_mailbox envelope_recipient uid_cache",
	}
	for section, keys := range known {
		for _, key := range slices.Sorted(maps.Keys(section.keys)) {
			if !slices.Contains(strings.Fields(keys), key) {
				g.note(section.keys[key].place, a.Name, "%s: getmail has no such key", show(key))
			}
		}
	}
}

// getmail turns what a getmailrc says into a plan.
type getmail struct {
	*Plan
	options, retriever, destination *iniSection
}

// isOn reads a truth value of a section, by default what getmail takes.
func (g *getmail) isOn(s *iniSection, key string, otherwise bool) (bool, error) {
	v, ok := s.keys[key]
	if !ok {
		return otherwise, nil
	}
	switch strings.ToLower(v.text) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, wrong(g.file, v.place, "%s wants true or false, found %s", key, show(v.text))
}

// number reads a number of a section, 0 where it is not there.
func (g *getmail) number(s *iniSection, key string) (int, error) {
	v, ok := s.keys[key]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 0 || int64(n) > 1<<40 {
		return 0, wrong(g.file, v.place, "%s wants a number, found %s", key, show(v.text))
	}
	return n, nil
}

// server says where the mailbox is and how it is reached.
func (g *getmail) server(a *Account, protocol string, ssl bool) error {
	r := g.retriever.keys
	a.set("protocol", protocol)
	a.set("host", r["server"].text)
	port, err := g.number(g.retriever, "port")
	if err != nil {
		return err
	}
	if port > 0 {
		a.set("port", port)
	}
	timeout, err := g.number(g.retriever, "timeout")
	if err != nil {
		return err
	}
	if timeout >= 1 && timeout <= 3600 {
		a.set("timeout", seconds(timeout))
	}
	if !ssl {
		a.set("tls", "starttls")
		g.note(r["type"].place, a.Name, "%s shows password and mail to everybody on the way; tls: starttls was written, which is refused where the server has no TLS", r["type"].text)
		return nil
	}
	a.set("tls", "implicit")
	for _, file := range []struct{ theirs, ours string }{{"ca_certs", "tls_ca_file"}, {"certfile", "tls_cert_file"}, {"keyfile", "tls_key_file"}} {
		if v, ok := r[file.theirs]; ok {
			a.set(file.ours, g.expand(v.text))
		}
	}
	if v, ok := r["ssl_cert_hostname"]; ok {
		a.set("tls_server_name", v.text)
	}
	if _, ok := r["ca_certs"]; !ok {
		g.note(r["type"].place, a.Name, "without ca_certs getmail takes any certificate; truehop checks it, and truehop check shows its sum for tls_pins if it is not right")
	}
	if v, ok := r["ssl_fingerprints"]; ok {
		sums, err := pythonTuple(g.file, v)
		if err != nil {
			return err
		}
		var pins []string
		for _, sum := range sums {
			if pin, ok := sha256Pin(sum); ok {
				pins = append(pins, pin)
			} else {
				g.note(v.place, a.Name, "ssl_fingerprints: %s is not a SHA-256 sum", show(sum))
			}
		}
		if len(pins) > 0 {
			a.set("tls_pins", pins)
		}
	}
	return nil
}

// login says who logs in.
func (g *getmail) login(a *Account, _ string, _ bool) error {
	r := g.retriever.keys
	a.set("user", r["username"].text)
	for _, m := range []struct{ key, auth string }{{"use_apop", "apop"}, {"use_cram_md5", "cram-md5"}} {
		on, err := g.isOn(g.retriever, m.key, false)
		if err != nil {
			return err
		}
		if on {
			a.set("auth", m.auth)
		}
	}
	token, err := g.isOn(g.retriever, "use_xoauth2", false)
	if err != nil {
		return err
	}
	if command, ok := r["password_command"]; ok {
		words, err := pythonTuple(g.file, command)
		if err != nil {
			return err
		}
		if len(words) > 0 {
			key := "password_command"
			if token {
				key = "token_command"
			}
			if strings.HasPrefix(words[0], "~/") {
				words[0] = g.expand(words[0])
			}
			if !filepath.IsAbs(words[0]) { // truehop does not search, env(1) does
				words = append([]string{"/usr/bin/env"}, words...)
			}
			a.set(key, words)
			return nil
		}
	}
	netrc, err := g.isOn(g.options, "use_netrc", false)
	if err != nil {
		return err
	}
	password := r["password"].text
	if netrc && password == "" {
		file := ""
		if v, ok := g.options.keys["netrc_file"]; ok {
			file = g.expand(v.text)
		}
		password = g.netrc(file, r["username"].text, r["server"].text)
	}
	g.password(a, g.retriever.place, password)
	if password == "" {
		g.note(g.retriever.place, a.Name, "getmail asks a keyring or a person; password_command can ask a keyring, see README.md")
	}
	return nil
}

// folders are those that getmail fetches from.
func (g *getmail) folders() ([]string, error) {
	v, ok := g.retriever.keys["mailboxes"]
	switch {
	case !ok:
		return []string{"INBOX"}, nil
	case strings.Trim(v.text, "() ,'\"") == "ALL":
		return []string{fetch.AllFolders}, nil
	}
	return pythonTuple(g.file, v)
}

// mailboxes says what is fetched.
func (g *getmail) mailboxes(a *Account, protocol string, _ bool) error {
	if protocol == "pop3" {
		return nil
	}
	folders, err := g.folders()
	if err != nil {
		return err
	}
	a.set("folders", folders)
	marks, err := g.isOn(g.options, "mark_read", false)
	if err != nil {
		return err
	}
	v := g.retriever.keys["imap_search"]
	words := searched(v.text)
	if unread := []string{"unseen"}; marks && !slices.Equal(words, unread) {
		if words != nil {
			g.note(v.place, a.Name, "mark_read: getmail fetches what is unread then, whatever imap_search says")
		}
		words = unread
	}
	for _, w := range words {
		if !slices.Contains([]string{"seen", "unseen", "flagged", "answered", "draft", "not"}, w) {
			g.note(v.place, a.Name, "imap_search %s: say it in the words of the key search", show(v.text))
			return nil
		}
	}
	if len(words) > 0 {
		a.set("search", strings.Join(words, " "))
	}
	return nil
}

// searched are the words of imap_search, nil where it takes all messages.
func searched(search string) []string {
	var words []string
	for _, w := range strings.Fields(strings.ToLower(strings.Trim(search, "() "))) {
		if w != "all" {
			words = append(words, w)
		}
	}
	return words
}

// getmailEnd is what getmail does upstream with a message when it is done with it: it may copy the message to another folder, and
// sets flags, of which one deletes.
type getmailEnd struct {
	// asked says that it does so at once.
	asked bool
	// folder is where the copy goes, "" where there is none.
	folder string
	// deletes and reads say what the flags do.
	deletes, reads bool
	// unread says that it passes over what is read.
	unread bool
}

// end reads what is done in the end. mark_read means another flag, whatever is asked for beside it.
func (g *getmail) end(protocol string) (e getmailEnd, err error) {
	marks, err := g.isOn(g.options, "mark_read", false)
	if err != nil {
		return e, err
	}
	if e.asked, err = g.isOn(g.options, "delete", false); err != nil {
		return e, err
	}
	if protocol != "imap" { // where there are no flags
		e.deletes = true
		return e, nil
	}
	flags := strings.ToLower(cmp.Or(g.retriever.keys["imap_on_delete"].text, `\deleted \seen`))
	if marks {
		e.asked, flags = true, `\seen`
	}
	e.folder = g.retriever.keys["move_on_delete"].text
	e.deletes, e.reads = strings.Contains(flags, `\deleted`), strings.Contains(flags, `\seen`)
	e.unread = marks || slices.Equal(searched(g.retriever.keys["imap_search"].text), []string{"unseen"})
	return e, nil
}

// disposal says what becomes of delivered mail upstream.
func (g *getmail) disposal(a *Account, protocol string, _ bool) error {
	end, err := g.end(protocol)
	if err != nil {
		return err
	}
	peek, err := g.isOn(g.retriever, "use_peek", true)
	if err != nil {
		return err
	}
	gone := end.asked && end.deletes
	switch {
	case gone && end.folder != "":
		a.set("on_delivered", "move:"+end.folder)
	case gone:
		a.set("on_delivered", "delete")
	case end.asked && end.reads, protocol == "imap" && !end.asked && !peek:
		a.set("on_delivered", "seen")
	default:
		a.set("on_delivered", "keep")
	}
	a.Remembers = !gone
	if end.asked && !gone && end.folder != "" {
		g.note(g.retriever.keys["move_on_delete"].place, a.Name, "move_on_delete: getmail copies mail to %s and only marks it where it was, which truehop does not do; on_delivered: move:%s moves it", show(end.folder), end.folder)
	}
	if err := g.deletesLater(a, end); err != nil {
		return err
	}
	all, err := g.isOn(g.options, "read_all", true)
	if err != nil {
		return err
	}
	passesOver := end.asked && end.reads && end.unread
	if all && !gone && !passesOver {
		g.note(g.options.keys["read_all"].place, a.Name, "read_all fetches the same mail again and again; truehop delivers each message once")
	}
	return nil
}

// deletesLater carries delete_after over, which for getmail puts off what it does in the end, whatever that is.
func (g *getmail) deletesLater(a *Account, end getmailEnd) error {
	days, err := g.number(g.options, "delete_after")
	at := g.options.keys["delete_after"].place
	switch {
	case err != nil:
		return err
	case days == 0, end.asked && end.deletes:
	case !end.deletes:
		g.note(at, a.Name, "delete_after is not carried over: with imap_on_delete or mark_read getmail marks mail by then and deletes none; set delete_after if truehop is to delete what it has delivered")
	case end.folder != "":
		g.note(at, a.Name, "delete_after is not carried over: getmail moves mail to %s by then; truehop can move it at once (on_delivered: move:%s), or delete it by then (delete_after)", show(end.folder), end.folder)
	default:
		a.set("delete_after", strconv.Itoa(min(days, 3650))+"d")
		g.note(at, a.Name, "delete_after: what getmail fetched stays upstream, for truehop deletes only what it delivered itself; delete it by hand")
	}
	return nil
}

// limits carries over how much is fetched.
func (g *getmail) limits(a *Account, _ string, _ bool) error {
	size, err := g.number(g.options, "max_message_size")
	if err != nil {
		return err
	}
	a.set("max_size", octets(size))
	if size > 0 {
		g.note(g.options.keys["max_message_size"].place, a.Name, "max_message_size: larger messages stay upstream, held, and truehop status shows them")
	}
	messages, err := g.number(g.options, "max_messages_per_session")
	if err != nil {
		return err
	}
	if messages > 0 {
		a.set("max_messages", min(messages, 1_000_000))
	}
	total, err := g.number(g.options, "max_bytes_per_session")
	if err != nil {
		return err
	}
	if total > 0 {
		a.set("max_bytes", octets(total))
	}
	return nil
}

// deliver says where the mail goes, and to whom.
func (g *getmail) deliver(a *Account, _ string, _ bool) error {
	d := g.destination.keys
	var found []string
	switch kind := d["type"]; kind.text {
	case "MDA_lmtp":
		port, err := g.number(g.destination, "port")
		if err != nil {
			return err
		}
		if port == 0 {
			port = 2003
		}
		address := net.JoinHostPort(d["host"].text, strconv.Itoa(port))
		if strings.HasPrefix(d["host"].text, "/") {
			address = "unix:" + d["host"].text
		}
		g.deliverTo(a, g.target([]setting{{"address", address}, {"protocol", "lmtp"}}, ""))
		g.note(kind.place, a.Name, "MDA_lmtp reaches a delivery agent, which asks no rules about clients; SMTP to the MTA is what truehop is for")
		if to := d["override"].text; to != "" {
			found = []string{to}
		}
		if v, ok := d["fallback"]; ok {
			g.note(v.place, a.Name, "fallback: mail to a recipient whom the server does not know is held")
		}
	case "Maildir", "Mboxrd", "MDA_external", "MDA_qmaillocal", "MultiDestination", "MultiSorter", "MultiGuesser":
		g.usualTarget(a)
		g.note(kind.place, a.Name, "%s is not carried over: truehop hands mail to an MTA at %s, whose rules are to judge it; let the MTA put it there (Postfix: mailbox_command, home_mailbox, virtual_alias_maps)", kind.text, listener)
		if user := d["user"].text; user != "" {
			found = []string{user + "@localhost"}
		}
	default:
		return wrong(g.file, kind.place, "unknown type of destination %s", show(kind.text))
	}
	if !strings.HasPrefix(g.retriever.keys["type"].text, "Multidrop") || g.Plan.options.Recipient != "" {
		g.recipients(a, g.destination.place, found, "the user whose file it is")
		return nil
	}
	v := g.retriever.keys["envelope_recipient"]
	field, count, _ := strings.Cut(strings.ToLower(v.text), ":")
	if !slices.Contains(recipientFields(), field) {
		g.note(v.place, a.Name, "envelope_recipient %s: truehop knows the fields %s; x-original-to was written", show(v.text), strings.Join(recipientFields(), ", "))
		field = "x-original-to"
	}
	if count != "" && count != "1" {
		g.note(v.place, a.Name, "envelope_recipient: truehop takes the topmost field that the upstream itself wrote, and counts none")
	}
	a.set("recipient_from", field)
	_, domain, _ := strings.Cut(g.retriever.keys["username"].text, "@")
	a.set("recipient_domains", aliasDomains([]string{domain, g.retriever.keys["server"].text}))
	g.note(g.retriever.place, a.Name, "recipient_domains were made of user and server: put there the domains whose mail the mailbox holds")
	return nil
}
