package config

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/transfer"
)

// upstream checks where an account's mail is and how the connection is protected. at is the account's path.
func (k checker) upstream(at string, a *Account) {
	_, notAddr := netip.ParseAddr(a.Host)
	switch {
	case a.Host == "" && a.preset() != nil:
		k.wrong(at+"/host", "is missing, and no host of %s is known for %s; give it, or set another protocol", a.Provider, a.Protocol)
	case a.Host == "":
		k.wrong(at+"/host", "is missing; give the host name of the upstream")
	case strings.Contains(a.Host, "://"):
		k.wrong(at+"/host", "want a host name, not a URL")
	case notAddr != nil && strings.Contains(a.Host, ":"):
		k.wrong(at+"/host", "want the host alone; the port is a key of its own")
	case notAddr != nil && !hostName(a.Host):
		k.wrong(at+"/host", "%s is no host name (an internationalised one is written xn--…)", show(a.Host))
	}
	if strings.EqualFold(a.Host, "pop.gmail.com") && !strings.HasPrefix(a.User, "recent:") {
		k.warn(at+"/user", "pop.gmail.com hands out each message once, to whichever program asks first; user: \"recent:%s\" has it show all mail of the last 30 days to every program", clip(a.User))
	}
	k.absolute(at+"/tls_ca_file", a.TLSCAFile)
	if s := a.TLSServerName; s != "" && !hostName(s) {
		k.wrong(at+"/tls_server_name", "%s is no host name", show(s))
	}
	switch {
	case exposed(a) && !a.AllowPlaintext:
		k.wrong(at+"/tls", "none shows password and mail to everybody on the way; "+
			"use implicit or starttls, or say allow_plaintext: true")
	case exposed(a):
		k.warn(at+"/tls", "none: password and mail of this account go over the network in the clear")
	case a.AllowPlaintext && a.TLS == NoTLS:
		k.warn(at+"/allow_plaintext", "has no effect with connect_command; remove it")
	case a.AllowPlaintext:
		k.warn(at+"/allow_plaintext", "has no effect with tls: %s; remove it", a.TLS)
	}
	verified := a.TLSCAFile != "" || a.TLSServerName != ""
	if a.TLS == NoTLS && verified {
		k.wrong(at+"/tls_ca_file", "tls_ca_file and tls_server_name have no effect with tls: none; remove them")
	}
	// At the well-known port of the other protocol, or of the other form of TLS, the session could only hang or fail.
	for _, known := range wellKnownPorts() {
		switch {
		case known.port != a.Port:
		case known.protocol != a.Protocol:
			k.wrong(at+"/port", "%d is the port of %s, and protocol is %s; change one", a.Port, known.protocol, a.Protocol)
		case (known.tls == ImplicitTLS) != (a.TLS == ImplicitTLS):
			k.wrong(at+"/port", "%d is the port for tls: %s, and tls is %s; change one", a.Port, known.tls, a.TLS)
		}
	}
}

// wellKnownPort is a port and what is spoken on it (RFC 8314 section 7). Where tls is StartTLS, NoTLS has the same port.
type wellKnownPort struct {
	port     int
	protocol Protocol
	tls      TLSMode
}

func wellKnownPorts() []wellKnownPort {
	return []wellKnownPort{{993, IMAP, ImplicitTLS}, {143, IMAP, StartTLS}, {995, POP3, ImplicitTLS}, {110, POP3, StartTLS}}
}

// folders checks folders and what is done in them. POP3 can only keep and delete.
func (k checker) folders(at string, a *Account) {
	if removes := a.OnDelivered.Action == fetch.Delete || a.OnDelivered.Action == fetch.Move; removes && a.DeleteAfter > 0 {
		k.wrong(at+"/delete_after", "has no effect with on_delivered: %s, which removes the mail at once; remove one", a.OnDelivered)
	}
	if a.Protocol == POP3 {
		if k.given(at + "/folders") {
			k.wrong(at+"/folders", "POP3 has no folders; remove it or set protocol: imap")
		}
		if len(a.Search.Search) > 0 {
			k.wrong(at+"/search", "POP3 has no search; remove it or set protocol: imap")
		}
		if a.FirstRun.Action == transfer.DeliverSince {
			k.wrong(at+"/first_run", "POP3 does not tell when a message came; use newest N, or set protocol: imap")
		}
		for key, given := range map[string]bool{"plain_expunge": a.PlainExpunge, "create_folders": a.CreateFolders} {
			if given {
				k.wrong(at+"/"+key, "has no effect with POP3; remove it or set protocol: imap")
			}
		}
		if a.MarkDelivered {
			k.wrong(at+"/mark_delivered", "POP3 has no keywords; remove it or set protocol: imap")
		}
		for key, d := range map[string]fetch.Disposal{"on_delivered": a.OnDelivered, "on_refused": a.OnRefused.Disposal} {
			if d.Action == fetch.Flag || d.Action == fetch.Move {
				k.wrong(at+"/"+key, "POP3 cannot do %s; use keep or delete, or set protocol: imap", d)
			}
		}
		return
	}
	k.selection(at, a.Folders)
	for i, f := range a.Folders {
		switch {
		case f == "" || f == "!":
			k.wrong(at+"/folders", "a name is empty")
		case len(f) > 512:
			k.wrong(at+"/folders", "a name has more than 512 octets")
		case slices.ContainsFunc(a.Folders[:i], func(g string) bool { return same(f, g) }):
			k.wrong(at+"/folders", "%s stands there twice", show(f))
		case a.OnDelivered.Action == fetch.Move && same(f, a.OnDelivered.Target):
			k.wrong(at+"/on_delivered", "%s is fetched from: the mail would come back; move to another folder", show(f))
		case a.OnRefused.Disposal.Action == fetch.Move && same(f, a.OnRefused.Disposal.Target):
			k.wrong(at+"/on_refused", "%s is fetched from: the mail would come back; move to another folder", show(f))
		}
	}
}

// selection checks what folders chooses beyond single names.
func (k checker) selection(at string, items fetch.Selection) {
	choosing, excluding, several := 0, 0, false
	for _, item := range items {
		out, excludes := strings.CutPrefix(item, "!")
		use, special := strings.CutPrefix(out, `\`)
		malformed := use == "" || strings.ContainsFunc(use, func(r rune) bool { return !letterOrDigit(r) })
		switch {
		case special && malformed:
			k.wrong(at+"/folders", `%s is no special use, as \Junk is`, show(item))
		case excludes:
			excluding++
		default:
			choosing++
			several = several || !(fetch.Selection{item}).Fixed()
		}
	}
	all := slices.ContainsFunc(items, func(item string) bool { return strings.EqualFold(item, `\All`) })
	beside := slices.IndexFunc(items, func(item string) bool {
		apart := strings.EqualFold(item, `\All`) || strings.EqualFold(item, `\Junk`) || strings.EqualFold(item, `\Trash`)
		return !apart && !strings.HasPrefix(item, "!")
	})
	switch {
	case len(items) == 0:
		k.wrong(at+"/folders", "the list is empty; name at least one folder")
	case choosing == 0:
		k.wrong(at+"/folders", "the list chooses nothing; name at least one folder")
	case excluding > 0 && !several:
		k.wrong(at+"/folders", "names are given, and nothing that chooses more: what is taken out with ! would not be fetched from; remove it")
	case all && beside >= 0:
		k.wrong(at+"/folders", `\All shows the mail of %s, too, which would be delivered twice; keep one of the two`, show(items[beside]))
	}
}

// same compares folder names; INBOX in any case is one (RFC 9051 section 5.1).
func same(f, g string) bool {
	if strings.EqualFold(f, "INBOX") {
		return strings.EqualFold(g, "INBOX")
	}
	return f == g
}

// envelope checks the addresses that MAIL and RCPT get.
func (k checker) envelope(at string, a *Account) {
	if len(a.Recipients) == 0 && a.RecipientFrom == "" && !k.bad[at+"/recipient_from"] {
		k.wrong(at+"/recipients", "is missing; give the local address that gets the mail")
	}
	for i, rcpt := range a.Recipients {
		if why := mailbox(rcpt); why != "" {
			k.wrong(at+"/recipients", "%s is no address: %s", show(rcpt), why)
		} else if slices.Contains(a.Recipients[:i], rcpt) {
			k.wrong(at+"/recipients", "%s stands there twice", show(rcpt))
		}
	}
	if a.Sender != "" {
		if why := mailbox(a.Sender); why != "" {
			k.wrong(at+"/sender", "%s is no address: %s", show(a.Sender), why)
		}
	}
	if to := a.OnRefused.Quarantine; to != "" {
		if why := mailbox(to); why != "" {
			k.wrong(at+"/on_refused", "%s is no address: %s", show(to), why)
		}
	}
}

// multidrop checks where the recipients of a mailbox come from that holds the mail of whole domains.
func (k checker) multidrop(at string, a *Account) {
	if k.bad[at+"/recipient_from"] {
		return
	}
	if a.RecipientFrom == "" {
		for key, given := range map[string]bool{"recipient_domains": len(a.RecipientDomains) > 0, "recipient_strip_prefix": a.RecipientStripPrefix != ""} {
			if given {
				k.wrong(at+"/"+key, "has no effect without recipient_from; remove it, or say which header field holds the recipient")
			}
		}
		return
	}
	if len(a.Recipients) > 0 {
		k.wrong(at+"/recipients", "recipients and recipient_from are both given; keep one")
	}
	if len(a.RecipientDomains) == 0 {
		k.wrong(at+"/recipient_domains", "is missing; name the domains whose mail the mailbox holds: no other recipient is taken from a message")
	}
	for _, d := range a.RecipientDomains {
		if !hostName(d) || strings.HasSuffix(d, ".") || !strings.Contains(d, ".") {
			k.wrong(at+"/recipient_domains", "%s is no domain, as in example.org", show(d))
		}
	}
	if p := a.RecipientStripPrefix; p != "" && mailbox(p+"x@example.org") != "" {
		k.wrong(at+"/recipient_strip_prefix", "%s cannot begin a mail address", show(p))
	}
}

// mailbox returns why s cannot be an envelope address as it stands: RFC 5321
// section 4.1.2 without quoted strings, source routes and SMTPUTF8.
func mailbox(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "the domain is missing, as in user@example.org"
	}
	local, domain := s[:at], s[at+1:]
	switch {
	case strings.ContainsAny(s, "<> ,;"):
		return "write the bare address, one for each item"
	case local == "" || len(local) > 64 || len(s) > 254:
		return "the part before @ has 1 to 64 octets, the whole 254"
	case local[0] == '-' || local[0] == '.' || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return "the part before @ begins or ends wrongly"
	case strings.ContainsFunc(local, func(r rune) bool {
		if r >= utf8.RuneSelf { // RFC 6531 section 3.3
			return r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r)
		}
		return !letterOrDigit(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r) // atext and dot, RFC 5322 section 3.2.3
	}):
		return "the part before @ holds a character that is not allowed there"
	}
	if ascii, ok := inject.ALabels(domain); !ok || !hostName(ascii) || strings.HasSuffix(domain, ".") {
		return "the part after @ is no domain"
	}
	return ""
}

// boundary checks how the client is found.
func (k checker) boundary(at string, a *Account) {
	for key, list := range map[string][]string{"mx": a.MX, "internal": a.Internal} {
		for _, p := range list {
			if !pattern(p) {
				k.wrong(at+"/"+key, "%s is neither a host name nor a pattern such as mx*.example.net or *.mx.example.net", show(p))
			}
		}
	}
	for _, p := range a.Gateways {
		if !pattern(p) && !slices.Contains(received.GatewayServices(), p) {
			k.wrong(at+"/gateways", "%s is neither a filter service (%s) nor a host name, a pattern such as *.filter.example.net or a network", show(p), strings.Join(received.GatewayServices(), ", "))
		}
	}
	if a.Edge && len(a.MX) == 0 && a.Provider.String() == "auto" {
		k.wrong(at+"/edge", "needs mx or provider: it says something of their hosts")
	}
	// Together these keys take the place of a profile.
	given := map[string]bool{"mx": len(a.MX) > 0, "internal": len(a.Internal) > 0, "hops": a.Hops > 0}
	for key, is := range given {
		switch {
		case !is:
		case a.Provider.String() != "auto":
			k.wrong(at+"/"+key, "takes the place of a profile, and provider is %s; keep one of the two", a.Provider)
		case !given["mx"] && !given["hops"]:
			k.wrong(at+"/"+key, "needs mx: without a host that faces the Internet no client is ever found")
		}
	}
}

// pattern reports whether s is a pattern of received.Policy: a host name, a domain after a dot, stars
// within labels; for writers that name themselves by address, an address, a network, or its beginning: 10.*, 2002:*.
func pattern(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if head, ok := strings.CutSuffix(s, ":*"); ok {
		_, err := netip.ParseAddr(head + "::")
		return err == nil
	}
	return s != "*" && hostName(strings.ReplaceAll(strings.TrimPrefix(s, "."), "*", "x"))
}

// pacing checks how often and for how long a message is tried.
func (k checker) pacing(at string, a *Account) {
	if a.RetryMin > a.RetryMax {
		k.wrong(at+"/retry_min", "%v is more than retry_max, %v", a.RetryMin, a.RetryMax)
	}
	if a.GiveUpAfter > 0 && a.GiveUpAfter < a.RetryMin {
		k.wrong(at+"/give_up_after", "%v is less than retry_min, %v: nothing would ever be tried again", a.GiveUpAfter, a.RetryMin)
	}
}
