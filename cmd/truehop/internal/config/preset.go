package config

import (
	"cmp"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/received"
)

// preset is what a provider publishes about the way to its mailboxes.
type preset struct {
	provider string // the name of its profile
	imap     string // host names; "" where the protocol is not offered, or nothing is known of it
	pop3     string
	port     int     // 0 for the usual one
	tls      TLSMode // implicit where nothing stands
	oauth    bool    // no password is taken, but OAuth 2
	needs    string  // what a login needs beside a user name and the password of the web mailer
	page     string  // where the provider says so, "" if no page of its own was at hand
}

// presets are the providers with one address for all. Where a provider has more, by country or by plan, needs names the others.
// KPN has a profile and none here: no public page of its own was at hand when this was written.
func presets() []preset {
	return []preset{
		// https://www.fastmail.com/help/technical/servernamesandports.html
		{provider: "fastmail", imap: "imap.fastmail.com", pop3: "pop.fastmail.com",
			needs: "a password made for this program (app password); the one of the web mailer is refused", page: "https://www.fastmail.com/help/technical/servernamesandports.html"},
		// https://www.postguardai.com/Home/GmailAppPasswordGuide
		{provider: "gmail", imap: "imap.gmail.com", pop3: "pop.gmail.com",
			needs: "an app password, for which 2-Step Verification must be on, or OAuth2; with Workspace the administrator has to allow IMAP", page: "https://myaccount.google.com/apppasswords"},
		// https://www.gmx.net/mail/tipps/posts/pop3-imap/36/
		{provider: "gmx", imap: "imap.gmx.net", pop3: "pop.gmx.net",
			needs: "POP3 and IMAP switched on in the settings of the web mailer, and with two-factor login a password made for this program; the hosts of gmx.com are imap.gmx.com and pop.gmx.com", page: "https://hilfe.gmx.net/sicherheit/2fa/anwendungsspezifisches-passwort.html"},
		// https://support.postbox-inc.com/hc/en-us/articles/202200110-Setting-up-iCloud-Me-or-Mac
		{provider: "icloud", imap: "imap.mail.me.com",
			needs: "an app-specific password; the user name is the part before @icloud.com, with some accounts the whole address", page: "https://account.apple.com"},
		// https://ionos.fr/assistance/email/mise-en-place-demail-made-in-germany/serveur-entrant
		{provider: "ionos", imap: "imap.ionos.com", pop3: "pop.ionos.com",
			needs: "the password of the mailbox, not that of the customer account; other countries have hosts of their own, as imap.ionos.de", page: "https://ionos.fr/assistance/email/mise-en-place-demail-made-in-germany/serveur-entrant"},
		// examples/mailru.yaml
		{provider: "mail.ru", imap: "imap.mail.ru", pop3: "pop.mail.ru",
			needs: "a password made for external applications"},
		// https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-8361e398-8af4-4e97-b147-6c6c4ac95353
		{provider: "outlook", imap: "outlook.office365.com", pop3: "outlook.office365.com", oauth: true,
			needs: "OAuth2: no password is taken, app passwords included; at Outlook.com POP and IMAP have to be switched on, at Microsoft 365 the administrator has to allow them", page: "https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-8361e398-8af4-4e97-b147-6c6c4ac95353"},
		// https://www.quai-des-entrepreneurs.com/ovh-mail
		{provider: "ovh", imap: "ssl0.ovh.net", pop3: "ssl0.ovh.net",
			needs: "the whole address as user name; Zimbra, Email Pro and Exchange plans have other hosts, shown in the control panel", page: "https://help.ovhcloud.com"},
		// https://proton.me/support/protonmail-bridge-faq
		{provider: "proton", imap: "127.0.0.1", port: 1143, tls: StartTLS,
			needs: "Proton Mail Bridge running on this host, the password that the bridge shows, and tls_ca_file with the certificate that it exports", page: "https://proton.me/support/protonmail-bridge-faq"},
		// http://pda.teltarif.de/internet/e-mail/t-online-unverschluesselt.html
		{provider: "t-online", imap: "secureimap.t-online.de", pop3: "securepop.t-online.de",
			needs: "the separate e-mail password (Passwort für E-Mail-Programme), not that of the login"},
		// https://help.yahoo.com/kb/generate-manage-rd-party-passwords-sln15241.html
		{provider: "yahoo", imap: "imap.mail.yahoo.com", pop3: "pop.mail.yahoo.com",
			needs: "an app password; AOL's host is imap.aol.com", page: "https://help.yahoo.com/kb/generate-manage-rd-party-passwords-sln15241.html"},
		// https://tech.yandex.com/oauth/doc/imap/index-docpage/
		// https://yandex.com/support/passport/authorization/app-passwords.html
		{provider: "yandex", imap: "imap.yandex.com",
			needs: "IMAP and app passwords switched on (Settings, Email clients), and an app password", page: "https://yandex.com/support/passport/authorization/app-passwords.html"},
		// https://support.bolddesk.com/kb/article/15603/how-to-configure-imap-in-zoho-mail
		// https://help.zoho.com/portal/en/kb/solo/communication/settings/articles/how-to-generate-app-specific-password
		{provider: "zoho", imap: "imap.zoho.com",
			needs: "IMAP switched on (Settings, Mail Accounts), and with two-factor login an app password; domains of one's own are at imappro.zoho.com, other data centres at imap.zoho.eu, imap.zoho.in and so on",
			page:  "https://help.zoho.com/portal/en/kb/solo/communication/settings/articles/how-to-generate-app-specific-password"},
	}
}

// TakesPassword reports whether one may log in to a provider by a password. Of a provider that is not known it is taken for granted.
func TakesPassword(provider string) bool {
	return !slices.ContainsFunc(presets(), func(p preset) bool { return p.provider == provider && p.oauth })
}

// Published is what a provider publishes about the way to its mailboxes, as [Providers] returns it.
type Published struct {
	Provider string `json:"provider"`
	// IMAP and POP3 are HOST:PORT, null where the protocol is not offered, or nothing is known of it.
	IMAP *string `json:"imap"`
	POP3 *string `json:"pop3"`
	// TLS is how the connection is protected, null where nothing is known.
	TLS *string `json:"tls"`
	// Needs says what a login needs, Page where the provider says so.
	Needs *string `json:"needs"`
	Page  *string `json:"page"`
}

// Providers returns all providers that have a profile of their Received fields, by name, with what they publish.
func Providers() []Published {
	var all []Published
	for _, name := range words(field{}, reflect.TypeFor[received.Provider]()) {
		p := Published{Provider: name}
		i := slices.IndexFunc(presets(), func(p preset) bool { return p.provider == name })
		if i >= 0 {
			known := presets()[i]
			at := func(host string, port int) *string {
				return orNil(host, net.JoinHostPort(host, strconv.Itoa(cmp.Or(known.port, port))))
			}
			mode := known.tls.String()
			p.IMAP, p.POP3, p.TLS = at(known.imap, 993), at(known.pop3, 995), &mode
			p.Needs, p.Page = orNil(known.needs, known.needs), orNil(known.page, known.page)
		}
		all = append(all, p)
	}
	return all
}

// orNil returns text, nil where known is "".
func orNil(known, text string) *string {
	if known == "" {
		return nil
	}
	return &text
}

// host returns where the provider serves a protocol, "" if it does not.
func (p *preset) host(protocol Protocol) string {
	if protocol == POP3 {
		return p.pop3
	}
	return p.imap
}

// preset returns what is known of the account's provider, by its name, or by its host where that is not this one; nil for nothing.
func (a *Account) preset() *preset {
	for _, p := range presets() {
		byName := a.Provider.String() == p.provider
		byHost := a.Host != "" && strings.EqualFold(strings.TrimSuffix(a.Host, "."), p.host(a.Protocol)) && net.ParseIP(a.Host) == nil
		if byName || byHost {
			return &p
		}
	}
	return nil
}

// Needs says what the account's provider wants of those who log in, and on which page it says so; "" if that is not known.
func (a *Account) Needs() (words, page string) {
	if p := a.preset(); p != nil {
		return p.provider + " needs " + p.needs, p.page
	}
	return "", ""
}
