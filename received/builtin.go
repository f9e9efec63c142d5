package received

import "net/netip"

// builtin are the profiles. Where a profile is drawn from public chains, its
// comment says what they showed; where it is not, it says so, and is strict:
// it names only hosts that the provider documents or that carry its name.
var builtin = [...]profile{
	{
		// Gmail and Google Workspace. Stores and spools write "by 2002:... with
		// SMTP id" without a peer (before 2015 "by 10.x"); groups and
		// forwarding add "by mail-xx.google.com" on top. The line that shows
		// the client is by mx.google.com, for groups gmr-mx.google.com, before
		// 2006 mx.gmail.com. SPF results stand below it; those of a customer's
		// inbound gateway are about the hop before the gateway.
		name:     "gmail",
		accounts: []string{"imap.gmail.com", "pop.gmail.com", "*.gmail.com", "*.googlemail.com"},
		marks:    []string{"2002:*", "10.*", "mx.google.com", "gmr-mx.google.com", "mail-*.google.com"},
		mx:       []string{"mx.google.com", "gmr-mx.google.com", "mx.gmail.com", "smtp.gmail.com"},
		internal: []string{"2002:*", "10.*", "mail-*.google.com", "*-out-*.google.com", "gmailapi.google.com"},
		proofs:   []string{"received-spf", "authentication-results", "arc-authentication-results"},
		writer:   []string{"mx.google.com", "gmr-mx.google.com", "google.com"},
		edge:     true,
	},
	{
		// Outlook.com, Hotmail and Microsoft 365. Mailbox servers and transport
		// hubs in *.prod.outlook.com speak to each other over public
		// addresses, under the names they give themselves. The first line by
		// *.mail.protection.outlook.com shows the client; a sender on the same
		// service leaves more of them below. Until 2017 Hotmail's MX, such as
		// COL004-MC7F77.hotmail.com, stood before it: what SPF saw tells so.
		name:     "outlook",
		accounts: []string{"outlook.office365.com", "*.outlook.com", "*.office365.com", "*.hotmail.com", "*.live.com", "*.office.com"},
		marks:    []string{"*.prod.outlook.com", "*.outlook.office365.com", "*.protection.outlook.com", "*.prod.exchangelabs.com", "*-mc*.hotmail.com", "*-mc*.*.hotmail.com"},
		mx:       []string{"*.mail.protection.outlook.com", "*-mc*.hotmail.com", "*-mc*.*.hotmail.com"},
		internal: []string{"*.prod.outlook.com", "*.outlook.office365.com", "*.prod.protection.outlook.com", "*.prod.exchangelabs.com"},
		proofs:   []string{"received-spf", "authentication-results"},
		edge:     true,
		service:  exchangeOnline[:],
		form:     "exchange",
	},
	{
		// Yahoo and AOL. Today a store on top writes "from 127.0.0.1 by
		// X.omega.yahoo.com .. with HTTP", and the MX names itself by an
		// address of 10/8: that line counts only with X-Originating-Ip above
		// it. Before about 2020 mta*.mail.*.yahoo.com wrote the client's
		// address as the second one, and AOL's *.mx.aol.com in sendmail's way. Until
		// 2010 AOL's air-*.mail.aol.com stood above.
		name:     "yahoo",
		accounts: []string{"*.yahoo.com", "*.aol.com", "*.ymail.com"},
		marks:    []string{"*.yahoo.com", "*.mx.aol.com", "air-*.mail.aol.com"},
		mx:       []string{"10.*", "*.mail.*.yahoo.com", "*.mx.aol.com"},
		internal: []string{"*.omega.yahoo.com", "air-*.mail.aol.com"},
		proofs:   []string{"x-originating-ip"},
		confirm:  []string{"10.*"},
	},
	{
		// Yahoo! JAPAN, a company of its own under the same name. One line by the MX, the
		// client in Yahoo's way, and X-Originating-IP above it. No chain at hand: strict.
		name:     "yahoo-japan",
		accounts: []string{"*.mail.yahoo.co.jp"},
		marks:    []string{"mta*.mail.*.yahoo.co.jp"},
		mx:       []string{"mta*.mail.*.yahoo.co.jp"},
		proofs:   []string{"x-originating-ip"},
		edge:     true,
	},
	{
		// Fastmail. A Cyrus store, a proxy in the .internal zone, a Postfix
		// beside it, the Authentication Milter on the MX, and the MX itself. In mail
		// of 2011 to 2013 the zone is nyi.mail.srv.osa.
		name:     "fastmail",
		accounts: []string{"*.fastmail.com", "*.messagingengine.com"},
		marks:    []string{"*.messagingengine.com"},
		mx:       []string{"*.messagingengine.com"},
		internal: []string{"*.internal", "*.nyi.mail.srv.osa", "slot*"},
		proofs:   []string{"x-spam-source"},
	},
	{
		// Proton, through its Bridge. One line, by the MX, or for the mail of one user
		// to another "from mail.protonmail.ch by mail.protonmail.ch" and nothing else.
		name:     "proton",
		accounts: []string{"*.protonmail.com", "*.proton.me", "*.protonmail.ch"},
		marks:    []string{"*.protonmail.ch", "*.proton.ch"},
		mx:       []string{"mailin*.protonmail.ch", "mail*.protonmail.ch"},
		users:    "mail.protonmail.ch",
		edge:     true,
	},
	{
		// GMX, web.de and mail.com (1&1 Mail & Media). One line by the MX, by
		// software that calls itself Nemesis; before 2013 a remark of qmail's
		// above it.
		name:     "gmx",
		accounts: []string{"*.gmx.net", "*.gmx.com", "*.gmx.de", "*.gmx.at", "*.gmx.ch", "*.web.de", "*.mail.com"},
		marks:    []string{"mx*.gmx.net", "mx*.emig.gmx.net", "mx*.gmx.com", "mx*.web.de", "mx*.mail.com"},
		mx:       []string{"mx*.gmx.net", "mx*.emig.gmx.net", "mx*.gmx.com", "mx*.web.de", "mx*.mail.com"},
		internal: []string{"*.server.lan"},
		edge:     true,
	},
	{
		// IONOS (1&1). Nemesis as at GMX. No chain at hand: strict.
		name:     "ionos",
		accounts: []string{"imap.ionos.*", "pop.ionos.*", "imap.ionos.co.uk", "pop.ionos.co.uk", "*.1und1.de", "*.1and1.com", "*.1and1.co.uk", "*.perfora.net"},
		marks:    []string{"mx*.kundenserver.de", "mx*.emig.kundenserver.de", "mx*.perfora.net"},
		mx:       []string{"mx*.kundenserver.de", "mx*.emig.kundenserver.de", "mx*.perfora.net", "mx*.ionos.com", "mx*.ionos.de"},
		internal: []string{"*.server.lan"},
		edge:     true,
	},
	{
		// iCloud. Apple's hosts speak to each other from 17.0.0.0/8, which is
		// Apple's alone. Since about 2021 a gateway on top names the MX, without
		// its address, and both have names of one label (seen in public code that
		// reads such mail); where the MX hands over by SMTP it says its whole name
		// in cloud.apple.com (public list archives of 2025). Until then the gateway names
		// a host *-qukt*.me.com, which is MX and takes users' logins (headers of 2023 and
		// 2024 in public repositories). Before, the MX was stNNp00im-smtpinNNN.me.com,
		// before a store in mac.com or me.com. Mail of one user to another comes to the
		// gateway from the host that he logged in to, *-asmtp-*.
		name:     "icloud",
		accounts: []string{"*.mail.me.com", "*.mail.icloud.com", "*.icloud.com", "*.me.com", "*.mac.com"},
		marks: []string{
			"*.mail.icloud.com", "ms*.mac.com", "ms*.me.com", "*smtpin*.me.com", "*smtpin*.icloud.com",
			"p*-mailgateway-*", "p*-icloudmta-smtpin-*",
		},
		mx: []string{
			"*.mail.icloud.com", "*smtpin*.me.com", "*smtpin*.mac.com", "*smtpin*.icloud.com", "*-qukt*.me.com",
			"p*-icloudmta-smtpin-*", "p*-icloudmta-smtpin-*.*.*.*.*.*.*.*.apple.com", "p*-icloudmta-asmtp-*",
		},
		internal: []string{"*.me.com", "*.mac.com", "*.icloud.com", "p*-mailgateway-*"},
		nets:     []string{"17.0.0.0/8", "2620:149::/32"},
		proofs:   []string{"received-spf", "authentication-results"},
		writer:   []string{"spf.icloud.com"},
	},
	{
		// Zoho. One line by the MX.
		name:     "zoho",
		accounts: []string{"*.zoho.com", "*.zoho.eu", "*.zoho.in", "*.zoho.com.au", "*.zoho.jp"},
		marks:    []string{"mx*.zohomail.com", "mx*.zohomail.eu", "mx*.zoho.com", "mx*.zoho.eu"},
		mx:       []string{"mx*.zohomail.*", "mx*.zoho.com", "mx*.zoho.eu", "mx*.zoho.in"},
		edge:     true,
	},
	{
		// Yandex. Until 2020 the MX hands over to itself by LMTP. In 2021 and 2022 all hosts
		// are containers, whose names do not tell the MX from the store. Today a host
		// postback* stands between the MX and the store, with an address of the service's
		// own (headers of 2021 to 2026 in public repositories). A forwarding host of the
		// first years is not stepped over.
		name:     "yandex",
		accounts: []string{"*.yandex.ru", "*.yandex.com", "*.yandex.net"},
		marks:    []string{"*.mail.yandex.net", "*.yp-c.yandex.net", "*.qloud-c.yandex.net"},
		mx: []string{
			"mxfront*.mail.yandex.net", "mxback*.mail.yandex.net", "*mxfront*.yp-c.yandex.net", "*mxfront*.*.yp-c.yandex.net",
			"*.qloud-c.yandex.net",
		},
		internal: []string{"*.mail.yandex.net", "*.yp-c.yandex.net"},
		service:  []netip.Prefix{netip.MustParsePrefix("2a02:6b8:c00::/40")},
		form:     "yandex",
	},
	{
		// Mail.ru. One line, in Exim's form.
		name:     "mail.ru",
		accounts: []string{"*.mail.ru", "*.inbox.ru", "*.list.ru", "*.bk.ru"},
		marks:    []string{"mx*.mail.ru", "mx*.i.mail.ru"},
		mx:       []string{"mx*.mail.ru", "mx*.i.mail.ru"},
		internal: []string{"*.i.mail.ru"},
		edge:     true,
	},
	{
		// OVH (MX Plan). qmail on the store, Postfix relays with private
		// addresses, the MX in*.mail.ovh.net. In 2023 the store calls itself by an
		// address, as in the provider's own documentation. Customers' servers have
		// names in ovh.net too, so only these patterns count.
		name:     "ovh",
		accounts: []string{"*.mail.ovh.net", "ssl0.ovh.net", "imap.mail.ovh.net", "pop.mail.ovh.net"},
		marks:    []string{"*.mail.ovh.net", "*.ha.ovh.net"},
		mx:       []string{"in*.mail.ovh.net", "mx*.mail.ovh.net"},
		internal: []string{"localhost", "192.168.*", "*.ha.ovh.net", "*.mail.ovh.net"},
		edge:     true,
	},
	{
		// T-Online. Dovecot stores (ehead*) behind the MX. No chain at hand: strict.
		name:     "t-online",
		accounts: []string{"*.t-online.de", "*.magenta.de"},
		marks:    []string{"ehead*.*.t-online.de", "ehead*.*.*.t-online.de", "mailin*.t-online.de", "mailin*.*.t-online.de", "mailin*.*.*.t-online.de"},
		mx:       []string{"mailin*.t-online.de", "mailin*.*.t-online.de", "mailin*.*.*.t-online.de"},
		internal: []string{"ehead*.*.t-online.de", "ehead*.*.*.t-online.de"},
		edge:     true,
	},
	{
		// Gandi. A store under a domain of its own, the MX under one name for all, and for
		// some years a filter on a public address between two of its fields. Drawn from
		// messages of 2013 to 2020 in public list archives and test data.
		name:     "gandi",
		accounts: []string{"mail.gandi.net"},
		marks:    []string{"spool.mail.gandi.net", "nmboxes*.mgt.gandi.net", "nmboxes*.*.0x35.net"},
		mx:       []string{"spool.mail.gandi.net"},
		internal: []string{"nmboxes*.mgt.gandi.net", "nmboxes*.*.0x35.net", "mfilter*.gandi.net"},
		relays:   []string{"spool*.mail.gandi.net", "mfilter*.gandi.net"},
	},
	{
		// Posteo. Two proxies and a store by LMTP, a filter that knows the MX by the
		// loopback interface, and the MX. Drawn from a message of 2023 in a public archive;
		// in one of 2020 the store is in posteo.local.
		name:     "posteo",
		accounts: []string{"posteo.de", "*.posteo.de"},
		marks:    []string{"dovecot*.posteo.name", "dovecot*.posteo.local", "proxy*.posteo.name", "proxy*.posteo.de", "mailin*.posteo.de", "mx*.posteo.de"},
		mx:       []string{"mx*.posteo.de"},
		internal: []string{"dovecot*.posteo.name", "dovecot*.posteo.local", "proxy*.posteo.name", "proxy*.posteo.de", "mailin*.posteo.de"},
		edge:     true,
	},
	{
		// Strato. One line by the MX, without a looked-up name. Mail of its other customers
		// comes from its own domain. Drawn from messages of 2020 to 2024 in public archives.
		name:     "strato",
		accounts: []string{"imap.strato.de", "pop3.strato.de", "imap.strato.com", "pop3.strato.com"},
		marks:    []string{"smtpin.rzone.de"},
		mx:       []string{"smtpin.rzone.de"},
		edge:     true,
	},
	{
		// KPN. Dovecot stores under unqualified names, a relay, and the MX,
		// which speaks to it from a public network. Drawn from one chain.
		name:     "kpn",
		accounts: []string{"*.kpnmail.nl", "*.planet.nl", "*.hetnet.nl", "imap.kpnmail.nl"},
		marks:    []string{"*.kpnmail.nl"},
		mx:       []string{"mx.kpnmail.nl"},
		internal: []string{"mta.kpnmail.nl", "cpxdc*"},
		nets:     []string{"195.121.90.0/24"},
		edge:     true,
	},
	{
		// The lists of kernel.org. The list host calls itself smtp.subspace.kernel.org
		// wherever it sends from; relays in front of the stores are named
		// relay.kernel.org and *.subspace.kernel.org. Mail to a mailbox there is
		// forwarded, so this serves those who read the lists from an archive host.
		name:     "kernel.org",
		accounts: []string{"*.kernel.org"},
		marks:    []string{"*.mirrors.kernel.org", "*.lore.kernel.org", "smtp.subspace.kernel.org"},
		mx:       []string{"smtp.subspace.kernel.org"},
		internal: []string{"*.mirrors.kernel.org", "*.lore.kernel.org"},
		relays:   []string{"relay.kernel.org", "*.subspace.kernel.org"},
	},
}

// exchangeOnline are networks of Exchange Online's own servers: those that they
// write when they speak to each other, and those of the years before IPv6. The
// larger networks in the service's documentation hold machines that any customer
// of Azure can rent, and are missing here.
var exchangeOnline = [...]netip.Prefix{
	netip.MustParsePrefix("2603:10a6::/32"),
	netip.MustParsePrefix("2603:10b6::/32"),
	netip.MustParsePrefix("2603:10c6::/32"),
	netip.MustParsePrefix("2603:10d6::/32"),
	netip.MustParsePrefix("2603:1096::/32"),
	netip.MustParsePrefix("2603:1026::/36"),
	netip.MustParsePrefix("2603:1036::/36"),
	netip.MustParsePrefix("2a01:111:e400::/48"), // of 2a01:111::/32 others are Azure's, to be rented
	netip.MustParsePrefix("2a01:111:f400::/48"),
	netip.MustParsePrefix("2a01:111:f403::/48"),
	netip.MustParsePrefix("65.55.88.0/24"),
	netip.MustParsePrefix("65.55.169.0/24"),
	netip.MustParsePrefix("94.245.120.64/26"),
	netip.MustParsePrefix("104.47.0.0/17"),
	netip.MustParsePrefix("134.170.132.0/24"),
	netip.MustParsePrefix("134.170.140.0/24"),
	netip.MustParsePrefix("157.55.234.0/24"),
	netip.MustParsePrefix("157.56.110.0/23"),
	netip.MustParsePrefix("157.56.112.0/24"),
	netip.MustParsePrefix("207.46.51.64/26"),
	netip.MustParsePrefix("207.46.100.0/24"),
	netip.MustParsePrefix("207.46.163.0/24"),
	netip.MustParsePrefix("213.199.154.0/24"),
	netip.MustParsePrefix("213.199.180.128/26"),
	netip.MustParsePrefix("216.32.180.0/23"),
}
