package importer

import "strings"

// tell notes options of a server and of a user that have no counterpart.
func (f *fetchmail) tell(a *Account, e *fetchmailEntry, u *fetchmailUser) {
	for _, o := range []struct{ name, text string }{
		{"plugout", "set connect_command for the upstream; towards the MTA truehop makes its connections itself"},
		{"interface", "is not asked; source_address chooses the address that the connection is made from"},
		{"monitor", "is not asked"},
		{"principal", "Kerberos is not spoken"},
		{"tracepolls", "the log says which account a message came from"},
		{"bad-header", "truehop hands over what the upstream has, and the MTA judges it"},
	} {
		if g, ok := e.options[o.name]; ok && !g.off {
			f.note(g.place, a.Name, "%s: %s", o.name, o.text)
		}
	}
	if strings.EqualFold(e.options["protocol"].text(), "sdps") {
		f.note(e.options["protocol"].place, a.Name, "sdps: the envelope is not asked for by its commands; recipients or recipient_from say who gets the mail")
	}
	for _, o := range []struct{ name, text string }{
		{"preconnect", "is not run; let the unit that starts truehop do it (ExecStartPre=), or connect_command"},
		{"postconnect", "is not run; let the unit that starts truehop do it (ExecStartPost=)"},
		{"flush", "old mail is not deleted unread; delete_after deletes what was delivered"},
		{"limitflush", "what is too large is held, never deleted"},
		{"warnings", "truehop status shows what was too large at any time"},
		{"rewrite", "truehop changes no address"},
		{"mimedecode", "truehop changes no octet"},
		{"stripcr", "truehop changes no octet"},
		{"dropstatus", "Status fields stay"},
		{"dropdelivered", "Delivered-To of a recipient is renamed, so that Postfix sees no loop"},
		{"fetchdomains", "is for ETRN and ODMR"},
		{"antispam", "every code of the MTA counts, 4xx as not now and 5xx as refused: see on_refused"},
		{"fetchsizelimit", "truehop asks for sizes in few commands"},
		{"batchlimit", "the sessions with the MTA are truehop's affair"},
		{"expunge", "truehop expunges by UID, as soon as the MTA has answered"},
		{"properties", "has no meaning for truehop"},
	} {
		if g, ok := u.options[o.name]; ok && !g.off {
			f.note(g.place, a.Name, "%s: %s", o.name, o.text)
		}
	}
}
