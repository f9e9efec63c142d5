package received

import "strings"

// A software is what is known of one program that writes Received fields: how it
// names itself, where it puts what it saw, and what it checked.
type software struct {
	form    string   // its name in [Hop.Form]
	marks   []string // beginnings of the comment behind its host name
	domains []string // of a service that runs software of its own

	comments   bool // the peer's address stands in a comment, and nowhere else
	addrFirst  bool // the address stands in the place of the name where no name is known
	bracket    bool // HELO [address]
	nameFirst  bool // a word in front is the name that was looked up, not the HELO
	heloBehind bool // [address] (HELO), years ago
	heloInside bool // helo= stands in the comment with the address
	dotPort    bool // the port may be joined to the address by a dot: [192.0.2.1.1025]
	commaHELO  bool // the comment holds both: (address, HELO name)
	quotesHELO bool // the comment quotes the HELO: [address]:port "EHLO name"
	account    bool // the comment tells of a login: account USER HELO name

	verifies    bool // it looks a name up both ways, and says where they differ
	esmtp       bool // all its sessions are ESMTP, whatever it calls them
	writesLogin bool // it writes the A of RFC 3848 for a client that logged in
	hidesUsers  bool // it shows the HELO alone of a client that logged in

	storeHTTP       bool   // its stores speak HTTP; elsewhere HTTP is a user's browser
	local           bool   // all its fields are of programs on its own host
	senderFirst     bool   // the envelope sender stands before its mark
	handIn          string // words in its comment that say so
	userAtLocalhost bool   // user@localhost in the peer's comment says so
	remarks         bool   // it writes remarks that name neither peer nor writer
}

// writers has one row for each program, in the order in which their marks are
// tried. To add one, add a row and a field to testdata/fields.txt.
var writers = [...]software{
	{form: "generic"},
	{form: "smap", commaHELO: true},
	{form: "google", domains: []string{".google.com", ".gmail.com"}, comments: true},
	{form: "exchange", comments: true, esmtp: true, storeHTTP: true},
	{form: "postfix", marks: []string{"Postfix"}, comments: true, verifies: true, writesLogin: true, handIn: "from userid"},
	{form: "exim", marks: []string{"Exim"}, verifies: true, writesLogin: true, addrFirst: true, heloInside: true, nameFirst: true, dotPort: true},
	{form: "qmail", marks: []string{"qmail"}, remarks: true},
	{form: "amavis", marks: []string{"amavisd"}, comments: true},
	{form: "dovecot", marks: []string{"Dovecot"}},
	{form: "momentum", marks: []string{"ecelerity"}, heloInside: true, senderFirst: true},
	{form: "haraka", marks: []string{"Haraka"}, comments: true},
	{form: "opensmtpd", marks: []string{"OpenSMTPD"}, comments: true},
	{form: "coremail", marks: []string{"Coremail"}},
	{form: "halon", marks: []string{"Halon"}, comments: true},
	{form: "stalwart", marks: []string{"Stalwart"}, comments: true},
	{form: "communigate", marks: []string{"CommuniGate"}, addrFirst: true, account: true},
	{form: "mdaemon", marks: []string{"MDaemon"}, bracket: true},
	{form: "domino", marks: []string{"Lotus Domino", "Domino", "IBM Domino", "HCL Domino"}},
	{form: "oracle", marks: []string{"Oracle Communications", "Sun Java", "iPlanet"}},
	{form: "powermta", marks: []string{"PowerMTA"}},
	{form: "james", marks: []string{"JAMES", "Apache James"}},
	{form: "kerio", marks: []string{"Kerio"}},
	{form: "groupwise", marks: []string{"GroupWise"}},
	{form: "hmailserver", marks: []string{"hMailServer"}},
	{form: "fastmail", marks: []string{"Authentication Milter", "LMTPProxy"}},
	{form: "nemesis", marks: []string{"Nemesis", "mreue", "mrelayeu", "mxeue"}},
	{form: "zimbra", marks: []string{"Zimbra"}},
	{form: "fetchmail", marks: []string{"fetchmail"}, bracket: true},
	{form: "getmail", marks: []string{"getmail"}},
	{form: "mpop", marks: []string{"mpop"}},
	{form: "chasquid", marks: []string{"chasquid"}, addrFirst: true, heloBehind: true, hidesUsers: true},
	{form: "dma", marks: []string{"DragonFly"}, local: true},
	{form: "mailenable", marks: []string{"MailEnable"}},
	{form: "mercury", marks: []string{"Mercury"}},
	{form: "cyrus", marks: []string{"Cyrus"}},
	{form: "messagelabs", marks: []string{"MessageLabs"}},
	{form: "symantec", marks: []string{"Symantec"}},
	{form: "proofpoint", marks: []string{"PPS"}, domains: []string{".pphosted.com"}},
	{form: "trendmicro", marks: []string{"InterScan"}},
	{form: "yandex", marks: []string{"mxback/Yandex", "mxfront/Yandex", "nwsmtp/Yandex", "Yandex"}, domains: []string{".yandex.net"}},
	{form: "knox", marks: []string{"KnoxPortal"}},
	{form: "merak", marks: []string{"Merak", "IceWarp"}},
	{form: "axigen", marks: []string{"Axigen"}},
	{form: "barracuda", marks: []string{"Spam Firewall"}},
	{form: "mailchannels", marks: []string{"trex/"}},
	{form: "lsmtp", marks: []string{"LSMTP", "LISTSERV"}},
	{form: "imail", marks: []string{"SMTPD32", "SMTPD-"}, bracket: true},
	{form: "emwac", marks: []string{"EMWAC"}},
	{form: "vircom", marks: []string{"Vircom"}},
	{form: "qpsmtpd", marks: []string{"qpsmtpd"}},
	{form: "smail", marks: []string{"Debian Smail", "Smail"}},
	{form: "maddy", marks: []string{"maddy"}},
	{form: "ironport", marks: []string{"Cisco"}},
	{form: "courier", marks: []string{"Courier"}},
	{form: "intermail", marks: []string{"InterMail"}},
	{form: "ssmtp", marks: []string{"sSMTP"}, local: true},
	{form: "nullmailer", marks: []string{"nullmailer"}},
	{form: "yahoo", domains: []string{".yahoo.com", ".yahoo.co.jp"}, addrFirst: true, storeHTTP: true},
	{form: "mail.ru", domains: []string{".mail.ru"}, heloInside: true},
	{form: "mimecast", domains: []string{".mimecast.com"}},
	{form: "zoho", domains: []string{".zohomail.com", ".zoho.com"}},
	{form: "ses", domains: []string{".amazonaws.com", ".amazonses.com"}},
	{form: "sendgrid", domains: []string{".sendgrid.net"}},
	{form: "mailgun", domains: []string{".postgun.com", ".mailgun.net"}},
	{form: "zmailer", domains: []string{"vger.kernel.org"}, quotesHELO: true},
	{form: "sendmail", comments: true, verifies: true, userAtLocalhost: true},
	{form: "smtpsvc"},
}

// byForm finds a row by its form.
var byForm = func() map[string]*software {
	rows := make(map[string]*software, len(writers))
	for i := range writers {
		rows[writers[i].form] = &writers[i]
	}
	return rows
}()

// byLetter finds the rows that have a mark by the mark's first octet, in lower case, in
// the order of the table. Each field has comments that are no marks.
var byLetter = func() (rows [256][]*software) {
	for i := range writers {
		for _, m := range writers[i].marks {
			at := &rows[lower(m[0])]
			if n := len(*at); n == 0 || (*at)[n-1] != &writers[i] {
				*at = append(*at, &writers[i])
			}
		}
	}
	return rows
}()

// services are the rows that have domains.
var services = func() (rows []*software) {
	for i := range writers {
		if len(writers[i].domains) > 0 {
			rows = append(rows, &writers[i])
		}
	}
	return rows
}()

// softwareOf returns the row of a form. A form without one has a row of its own that
// says nothing.
func softwareOf(form string) *software {
	if row := byForm[form]; row != nil {
		return row
	}
	return &software{form: form}
}

// markOf returns the row whose mark c begins with, or nil.
func markOf(c string) *software {
	if c == "" {
		return nil
	}
	for _, row := range byLetter[lower(c[0])] {
		for _, m := range row.marks {
			if hasPrefixFold(c, m) {
				return row
			}
		}
	}
	if c == "SG" {
		return softwareOf("sendgrid")
	}
	// sendmail writes its version, and that of its configuration: "8.17.1/8.17.1", "8.14.4/8.14.4/Debian-4", "8.8.5".
	if len(c) >= 5 && strings.HasPrefix(c, "8.") && c[2] >= '0' && c[2] <= '9' {
		both := strings.IndexByte(c[3:], '.') >= 0 && strings.IndexByte(c, '/') > 0
		if both || strings.Count(c, ".") == 2 {
			return softwareOf("sendmail")
		}
	}
	return nil
}
