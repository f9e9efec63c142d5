package received

import (
	"strings"
	"testing"
)

// TestLogin reads fields in which the writer says that the client logged in.
func TestLogin(t *testing.T) {
	for _, tt := range []struct{ name, field string }{
		{"Postfix, by the protocol", "from pc (dsl.example.net [192.0.2.10]) (Authenticated sender: user) by mx.example.org (Postfix) with ESMTPSA id 4B"},
		{"Postfix, a client that says HELO", "from pc (dsl.example.net [192.0.2.10]) (Authenticated sender: user) by mx.example.org (Postfix) with SMTP id 4B"},
		{"sendmail of years ago", "from pc (dsl.example.net [192.0.2.10] (may be forged)) (authenticated bits=0) by mx.example.org (8.12.5/8.12.5) with ESMTP id 4B"},
		{"sendmail without its version", "from pc ([192.0.2.10]) (authenticated) by mx.example.org with ESMTP id 4B"},
		{"Courier", "from pc ([192.0.2.10]) (AUTH: LOGIN user) by mx.example.org with esmtp"},
		{"Exim, by the protocol", "from [192.0.2.10] (helo=pc) by mx.example.org with esmtpsa (TLS1.3) (Exim 4.96) id 1rPAbc-0001xY-2z"},
		{"Exim of years ago", "from [192.0.2.10] (helo=pc) by mx.example.org with asmtp (Exim 3.36) id 18TqZk-0003aB-00"},
		{"Yahoo of years ago", "from unknown (HELO pc) (user@192.0.2.10 with login) by smtp101.mail.yahoo.com with SMTP"},
		{"CommuniGate", "from [192.0.2.10] (account user HELO pc) by mx.example.org (CommuniGate Pro SMTP 3.5.7) with ESMTP id 2"},
		{"behind the writer's name", "from dsl.example.net (192.0.2.10) by mx.example.org (7.0.028) (authenticated as user) id 4B for user@example.org"},
		{"MailEnable, its name before the protocol", "from PC ([192.0.2.10]) by mx.example.org with MailEnable ESMTPA"},
		{"a browser", "from 192.0.2.10 (SquirrelMail authenticated user user) by webmail.example.org with HTTP"},
		{"a browser behind a proxy", "from proxy.example.net ([192.0.2.10]) (proxying for 10.1.2.3) (SquirrelMail authenticated user user) by webmail.example.org with HTTP"},
	} {
		h := Parse([]byte(tt.field + "; Mon, 15 Jan 2024 10:00:00 +0000"))
		if !h.Authenticated || h.Addr != real || h.Err != nil {
			t.Errorf("%s: authenticated %v, address %v, error %v", tt.name, h.Authenticated, h.Addr, h.Err)
		}
	}
}

// TestLoginOfTheClientsOwn puts a login, a protocol or a mark into what the client says: the HELO,
// the answer of its ident server, its certificate, the sender. None of it makes the client a user of
// the provider's, nor a program on the writer's host, nor the writer one that verifies names.
func TestLoginOfTheClientsOwn(t *testing.T) {
	const tls = " with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) "
	for _, tt := range []struct{ name, field string }{
		{"HELO", "from x (authenticated) (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTPS id 4B"},
		{"HELO without a blank", "from x(authenticated) (mail.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"HELO in Postfix's words", "from x (Authenticated sender: user) (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with SMTP id 4B"},
		{"HELO with the client's address before", "from x ([192.0.2.10]) (authenticated) (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with SMTP id 4B"},
		{"HELO in Yahoo's way", "from x (user@192.0.2.10 with plain) (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with SMTP id 4B"},
		{"HELO, by a writer that records no address", "from x (authenticated) by mx.example.org with ESMTP id 4B"},
		{"HELO behind an address in it, by a writer that records none", "from 192.0.2.10(authenticated) by mx.example.org with ESMTP id 4B"},
		{"the same with brackets", "from [192.0.2.10](AUTH: LOGIN user) by mx.example.org with ESMTP id 4B"},
		{"the same with blanks", "from x [192.0.2.10] (authenticated) by mx.example.org with ESMTP id 4B"},
		{"HELO, by a writer that nobody knows", "from x (AUTH: LOGIN user) ([192.0.2.10]) by mx.example.org with ESMTP id 4B"},
		{"a certificate, all in one line", `from x (mail.example.com [192.0.2.10]) (Client CN "x) (Authenticated sender: user) (y", Issuer "z" (not verified)) by mx.example.org (Postfix) with ESMTPS id 4B`},
		{"a certificate behind the writer, as Strato's", `from mail.example.com ([192.0.2.10]) by smtpin.example.org (RZmta 49.6.6 OK) with ESMTPS id x9 (using TLSv1.3 with cipher X (256 bits)) (Client CN "x) (authenticated) (y", Issuer "z" (not verified))`},
		{"the same with quotation marks", `from mail.example.com ([192.0.2.10]) by smtpin.example.org (RZmta 49.6.6 OK) with ESMTPS id x9 (Client CN "x") (authenticated) ("y", Issuer "z" (not verified))`},
		{"a certificate behind the writer, as Momentum's", `from [192.0.2.10] ([192.0.2.10:22916] helo=x) by mx.example.org (ecelerity 4.2.38 r(Core:4.2.38)) with ESMTPS (cipher=X subject="/C=US/ST=x) (authenticated) (L=y") id 63/3A-32691-54B3E2D5`},
		{"HELO that ends the comment with the address, as ZMailer's", "from mail.example.com ([192.0.2.10]:5003 \"EHLO x]) (AUTH: \" rhost-flags-OK) by vger.kernel.org with ESMTP id S1"},
		{"an empty one", "from mail.example.com ([192.0.2.10]:5003 \"EHLO ) (AUTH \" rhost-flags-OK) by vger.kernel.org with ESMTP id S1"},
		{"an empty one by a writer that nobody knows", "from mail.example.com ([192.0.2.10]:5003 \"EHLO ) (AUTH \" rhost-flags-OK) by mx.example.org with ESMTP id S1"},
		{"ident by a writer that nobody knows", "from mail.example.com ([192.0.2.10] ident=x) (authenticated) (y) by mx.example.org with esmtps id 4B"},
		{"ident in a comment of its own", "from [192.0.2.10] (port=5003 ident=x) (authenticated) (y) by mx.example.org with esmtps id 4B"},
		{"HELO by a writer that nobody knows", "from mail.example.com ([192.0.2.10] helo=x) (authenticated) (y) by mx.example.org with esmtps id 4B"},
		{"HELO behind the address, CommuniGate", "from [192.0.2.10] (HELO x) (authenticated) (y) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPS id 2"},
		{"an account in it", "from [192.0.2.10] (HELO x) (account user HELO y) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPS id 2"},
		{"the client's address in it", "from [192.0.2.10] (HELO x) ([192.0.2.10]) (authenticated) (y) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPS id 2"},
		{"the client's address and Yahoo's words in it", "from [192.0.2.10] (HELO x) (user@192.0.2.10 with login) (y) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPS id 2"},
		{"Yahoo's words behind an address that the field begins with", "from 192.0.2.10 (EHLO x) (user@192.0.2.10 with login) by 10.253.233.86 with SMTPs (version=TLS1_3 cipher=X)"},
		{"HELO before the address, with all of it", "from unknown (HELO x) (user@192.0.2.10 with login) (HELO y) (192.0.2.10) by mx.example.org with SMTP"},
		{"HELO behind the address, smap", `from mail.example.com(192.0.2.10), claiming to be "x" (authenticated) "y" by mx.example.org via smap (V2.1)`},
		{"sender in the client's part", `from mail.example.com ([192.0.2.10]) (envelope-from <"a) (authenticated) (b"@example.com>) by mx.example.org with ESMTPS id 4B`},
		{"ident", "from mail.example.com ([192.0.2.10] ident=x) (authenticated helo=y) by mx.example.org" + tls + "id 1rPAbc-0001xY-2z"},
		{"sender", "from mail.example.com ([192.0.2.10] helo=x) by mx.example.org" + tls + `(envelope-from <"a) (authenticated) (b"@example.com>) id 1rPAbc-0001xY-2z`},
		{"sender, Exim without its name", "from mail.example.com ([192.0.2.10] helo=x) by mx.example.org with esmtps " + `(envelope-from <"a) (auth: login) (b"@example.com>) id 1rPAbc-0001xY-2z`},
		{"sender that ends the bracket", "from mail.example.com ([192.0.2.10] helo=x) by mx.example.org with esmtps " + `(envelope-from <"a>) (authenticated) (b"@example.com>) id 1rPAbc-0001xY-2z`},
		{"sender outside a comment", `from x (mail.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B envelope-from <"a (authenticated) b"@example.com>`},
		{"sender behind the date, PowerMTA", `from mail.example.com (192.0.2.10) by pmta.example.org id h2; Mon, 15 Jan 2024 10:00:00 +0000 (envelope-from <"a>) with LMTP; Mon, 15 Jan 2024 10:00:00 +0000 (b"@example.com>)`},
		{"the same with a login", `from mail.example.com (192.0.2.10) by pmta.example.org id h2; Mon, 15 Jan 2024 10:00:00 +0000 (envelope-from <a>) with ESMTPA (authenticated)`},
		{"recipient", `from x (mail.example.com [192.0.2.10]) by mx.example.org with ESMTPS id 4B for <"a (authenticated) b"@example.org>`},
		{"sender, before the protocol", `from x (mail.example.com [192.0.2.10]) by mx.example.org (envelope-sender <"a) with local (b"@example.com>) with ESMTPS id 4B`},
		{"sender without its quotation marks", "from x (mail.example.com [192.0.2.10]) by mx.example.org (envelope-sender <a>) with LMTP (b@example.com>) with ESMTPS id 4B"},
		{"sender with a mark", `from x (mail.example.com [192.0.2.10]) by mx.example.org (envelope-sender <"a) (DragonFly (b"@example.com>) with ESMTPS id 4B`},
		{"the same without its quotation marks", "from x (mail.example.com [192.0.2.10]) by mx.example.org (envelope-sender <a>) (Postfix (b@example.com>) with ESMTPS id 4B"},
	} {
		h := Parse([]byte(tt.field + "; Mon, 15 Jan 2024 10:00:00 +0000"))
		switch {
		case h.Authenticated, h.Err == nil && h.Kind != SMTP, h.Addr.IsValid() && h.Addr != real:
			t.Errorf("%s: %s", tt.name, describe(h))
		case h.NameVerified && strings.Contains(tt.field, "(envelope-sender "):
			t.Errorf("%s: nobody verified the name: %s", tt.name, describe(h))
		}
	}
}

// TestNameOfTheClientsOwn puts the client's address with another name into what the client says.
func TestNameOfTheClientsOwn(t *testing.T) {
	for _, tt := range []struct{ name, field string }{
		{"HELO, Exim", "from mail.example.com ([192.0.2.10]:43210 helo=x) (bank.example [192.0.2.10]) by mx.example.org with esmtp (Exim 4.96) id 1rPAbc-0001xY-2z"},
		{"HELO, Exim without the name", "from [192.0.2.10] (port=43210 helo=x) (bank.example [192.0.2.10]) by mx.example.org with esmtp (Exim 4.96) id 1rPAbc-0001xY-2z"},
		{"HELO, Exim without a blank", "from [192.0.2.10] (port=43210 helo=x)(bank.example [192.0.2.10]) by mx.example.org with esmtp (Exim 4.96) id 1rPAbc-0001xY-2z"},
		{"ident, Exim", "from mail.example.com ([192.0.2.10] helo=x ident=y) (bank.example [192.0.2.10]) by mx.example.org with esmtp (Exim 4.96) id 1rPAbc-0001xY-2z"},
		{"HELO, ZMailer", `from mail.example.com ([192.0.2.10]:5003 "EHLO x") (bank.example [192.0.2.10]) ("" rhost-flags-OK) by vger.kernel.org with ESMTP id S1`},
		{"a certificate, all in one line", `from x (mail.example.com [192.0.2.10]) (Client CN "x") (bank.example [192.0.2.10]) ("y", Issuer "z" (not verified)) by mx.example.org (Postfix) with ESMTPS id 4B`},
		{"a login's name, all in one line", "from x (mail.example.com [192.0.2.10]) (Authenticated sender: x) (bank.example [192.0.2.10]) by mx.example.org (Postfix) with ESMTPA id 4B"},
		{"HELO, Postfix", "from x (bank.example [192.0.2.10]) (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4B"},
	} {
		h := Parse([]byte(tt.field + "; Mon, 15 Jan 2024 10:00:00 +0000"))
		if h.Name != "" && h.Name != "mail.example.com" {
			t.Errorf("%s: %s", tt.name, describe(h))
		}
	}
}

// TestRecipientOfTheSendersOwn puts a recipient into the sender.
func TestRecipientOfTheSendersOwn(t *testing.T) {
	const field = `from mail.example.com ([192.0.2.10] helo=x) by mx.example.org with esmtps (TLS1.3) (Exim 4.96) ` +
		`(envelope-from <"a) for boss@example.org (b"@example.com>) id 1rPAbc-0001xY-2z; Mon, 15 Jan 2024 10:00:00 +0000`
	if h := Parse([]byte(field)); h.For != "" {
		t.Errorf("the recipient is %q", h.For)
	}
}
