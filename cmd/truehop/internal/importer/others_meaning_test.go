package importer

import (
	"strings"
	"testing"
)

func TestWhatBecomesOfOptionsOfGetmail(t *testing.T) {
	const mbox = "[destination]\ntype = Mboxrd\npath = /x\n"
	const imap = "[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = h\nusername = u\nca_certs = /ca\n"
	whatBecomes(t, "getmailrc", map[string][]meaning{
		"[options]\n%s\n" + imap + "password = p\n" + mbox: {
			{"verbose = 2", "", ""}, {"fingerprint = true", "", ""}, {"skip_imap_fetch_size = true", "", ""}, {"to_oldmail_on_each_mail = true", "", ""},
			{"read_all = false", "", ""}, {"read_all = true", "", ""}, {"delete = true", "on_delivered: delete", ""}, {"delete_after = 30", "delete_after: 30d", "by hand"}, {"mark_read = true", "search: unseen|on_delivered: seen", ""},
			{"delete_bigger_than = 5", "", "never deleted"}, {"max_message_size = 2048", "max_size: 2KiB", "held"}, {"max_messages_per_session = 7", "max_messages: 7", ""}, {"max_bytes_per_session = 4096", "max_bytes: 4KiB", ""},
			{"delivered_to = false", "", "the MTA writes"}, {"received = false", "", "the MTA writes"}, {"message_log = /x", "", "the journal"}, {"logfile = /x", "", "the journal"}, {"message_log_verbose = true", "", ""}, {"message_log_syslog = true", "", ""},
			{"use_netrc = true", "", ""}, {"netrc_file = /n", "", ""}, {"speed = 9", "", "no such key"},
		},
		imap + "%s\npassword = p\n" + mbox: {
			{"port = 1993", "port: 1993", ""}, {"timeout = 20", "timeout: 20s", ""}, {"certfile = /c\nkeyfile = k", "tls_cert_file: /c|tls_key_file: /home/me/k", ""}, {"ssl_cert_hostname = x.example", "tls_server_name: x.example", ""},
			{"ssl_version = TLSv1_2", "", "TLS 1.2"}, {"ssl_ciphers = ALL", "", "ciphers"}, {"ssl_fingerprints = (\"zz\",)", "", "no.* SHA-256 sum|not a SHA-256 sum"}, {"use_cram_md5 = true", "auth: cram-md5", ""}, {"use_kerberos = true", "", "Kerberos"},
			{"use_peek = false", "on_delivered: seen", ""}, {"mailboxes = (\"INBOX\", \"Entw\u00fcrfe\")", "folders: [INBOX, \"Entw\u00fcrfe\"]", ""}, {"mailboxes = ALL", "folders: [all]", ""}, {"imap_search = (UNSEEN)", "search: unseen", ""}, {"imap_search = (SINCE 1-Jan-2026)", "", "the key search"},
			{"move_on_delete = Done", "", ""}, {"imap_on_delete = (\\Seen)", "", "on_delivered"}, {"record_mailbox = true", "", "which folder"}, {"imap_id_extension = true", "", ""}, {"delete_dup_msgids = true", "", "content"}, {"colour = red", "", "no such key"},
		},
		"[options]\ndelete = true\n" + imap + "%s\npassword = p\n" + mbox: {
			{"move_on_delete = Done", "on_delivered: move:Done", ""}, {"imap_on_delete = \\Seen", "on_delivered: seen", "other flags"}, {"imap_on_delete = \\Flagged", "on_delivered: keep", "other flags"},
			{"imap_on_delete = (\\Seen \\DELETED)", "", "other flags"}, {"imap_on_delete = (\\Seen)\nmove_on_delete = Done", "on_delivered: seen", `copies mail to "Done"`},
			{"imap_search = UNSEEN\nimap_on_delete = \\Seen", "search: unseen|on_delivered: seen", "^imap_on_delete[^|]*$"},
		},
		"[options]\ndelete = true\n%s\n" + imap + "password = p\n" + mbox:           {{"mark_read = true", "search: unseen|on_delivered: seen", ""}},
		"[options]\n%s\n" + imap + "password = p\nmove_on_delete = Done\n" + mbox:   {{"delete_after = 30", "", `moves mail to "Done"`}, {"mark_read = true", "search: unseen|on_delivered: seen", `copies mail to "Done"`}},
		"[options]\n%s\n" + imap + "password = p\nimap_on_delete = \\Seen\n" + mbox: {{"delete_after = 30", "", `marks mail by then and deletes none`}},
		"[options]\n%s\n" + imap + "password = p\nimap_search = FLAGGED\n" + mbox:   {{"mark_read = true", "search: unseen|on_delivered: seen", `whatever imap_search says`}},
		imap + "%s\n" + mbox: {
			{"password = p", "", ""}, {"password_command = (\"/usr/bin/pass\", \"me\")", "password_command: [/usr/bin/pass, me]", ""}, {"password_command = (\"pass\", \"me\")", "password_command: [/usr/bin/env, pass, me]", ""},
			{"use_xoauth2 = true\npassword_command = (\"/usr/bin/token\",)", "token_command: [/usr/bin/token]", ""},
		},
		imap + "password = p\n%s\n" + mbox: {{"[filter-1]\ntype = Filter_external\npath = /x", "", "let the MTA filter"}},
	})
}

func TestWhatBecomesOfOptionsOfMpop(t *testing.T) {
	whatBecomes(t, "mpoprc", map[string][]meaning{
		"account a\nhost h\nuser u\npassword p\ntls on\n%s\n": {
			{"port 1110", "port: 1110", ""}, {"timeout 20", "timeout: 20s", ""}, {"timeout off", "", ""}, {"connect_timeout 20", "connect_timeout: 20s", ""}, {"proxy_host x", "proxy: socks5://x:1080", ""}, {"proxy_host x\nproxy_port 9", "proxy: socks5://x:9", ""},
			{"source_ip 192.0.2.1", `source_address: "192.0.2.1"`, ""}, {"socket /s", "", "connect_command"}, {"pipelining auto", "", ""}, {"pipelining off", `pipelining: "off"`, ""},
			{"auth on", "", ""}, {"auth scram-sha-256", "auth: scram-sha-256", ""}, {"auth ntlm", "", "not spoken"}, {"ntlmdomain x", "", "NTLM"}, {"passwordeval x", "", ""}, // the password is there
			{"tls_starttls off", "tls: implicit", ""}, {"tls_trust_file /ca", "tls_ca_file: /ca", ""}, {"tls_trust_file system", "", ""}, {"tls_crl_file /x", "", "revocation"}, {"tls_fingerprint 00:11", "", "SHA-256"},
			{"tls_cert_file ~/c\ntls_key_file /k", "tls_cert_file: /home/me/c|tls_key_file: /k", ""}, {"tls_certcheck off", "", "must be right"}, {"tls_nocertcheck", "", "must be right"}, {"tls_priorities x", "", "ciphers"}, {"tls_min_dh_prime_bits 9", "", "ciphers"},
			{"tls_force_sslv3 on", "", "TLS 1.2"}, {"tls_host_override x.example", "tls_server_name: x.example", ""}, {"tls off", "", "everybody"},
			{"delivery maildir ~/Mail", "", "home_mailbox"}, {"delivery mda x", "", "mailbox_command"}, {"uidls_file ~/x", "", ""}, {"only_new off", "", ""}, {"keep on", "on_delivered: keep", ""}, {"keep on\nonly_new off", "on_delivered: keep", "each message once"},
			{"skipsize 4k", "max_size: 4KiB", "held"}, {"killsize 4k", "max_size: 4KiB", "held"}, {"filter x", "", "let the MTA filter"}, {"received_header off", "", "the true client"}, {"eval echo x", "", "not run"},
		},
		"account a\nhost h\nuser u\ntls on\n%s\n": {
			{"passwordeval \"gpg -d x\"", `password_command: [/bin/sh, "-c", "gpg -d x"]`, ""}, {"auth oauthbearer\npasswordeval /usr/bin/token", "auth: oauthbearer|token_command: [/usr/bin/token]", ""},
		},
	})
}

func TestWhatBecomesOfOptionsOfMbsync(t *testing.T) {
	const stores, channel = "\nMaildirStore l\nInbox /m\n", "\nChannel c\nFar :r:\nNear :l:\n"
	whatBecomes(t, "mbsyncrc", map[string][]meaning{
		"IMAPAccount a\nHost h\nUser u\nPass p\n%s\n\nIMAPStore r\nAccount a\n" + stores + channel: {
			{"Port 1993", "port: 1993", ""}, {"Timeout 20", "timeout: 20s", ""}, {"SSLType IMAPS", "tls: implicit", ""}, {"TLSType IMAPS", "tls: implicit", ""}, {"SSLType STARTTLS", "", ""}, {"SSLType None", "tls: none|allow_plaintext: true", "everybody"},
			{"AuthMechs LOGIN", "auth: login", ""}, {"AuthMechs PLAIN LOGIN", "", ""}, {"AuthMechs GSSAPI", "", "not spoken"}, {"SSLVersions TLSv1.2", "", "tls_min_version"}, {"SystemCertificates no", "", ""}, {"CertificateFile /ca", "tls_ca_file: /ca", "tls_pins"},
			{"ClientCertificate /c\nClientKey /k", "tls_cert_file: /c|tls_key_file: /k", ""}, {"CipherString x", "", "ciphers"}, {"PipelineDepth 1", `pipelining: "off"`, ""}, {"PipelineDepth 50", "", ""}, {"DisableExtension MOVE", "", "pipelining"}, {"UseKeychain yes", "", "keychain"},
			{"Tunnel \"/usr/bin/ssh -W h:143 g\"", "tls: none|connect_command: [/usr/bin/ssh, \"-W\", h:143, g]", ""}, {"PassCmd \"/usr/bin/pass x\"", "password_command: [/usr/bin/pass, x]", ""},
		},
		"IMAPStore r\nHost h\nUser u\nPass p\n%s\n" + stores + channel: {
			{"Path Mail/", "", ""}, {"MapInbox x", "", "folders"}, {"Flatten .", "", "folders"}, {"SubscribedOnly yes", "", "folders"}, {"Trash T", "", "folders"}, {"TrashNewOnly yes", "", "folders"}, {"TrashRemoteNew yes", "", "folders"}, {"UseNamespace no", "", ""}, {"PathDelimiter .", "", ""}, {"MaxSize 4k", "max_size: 4KiB", "held"},
		},
		"IMAPStore r\nHost h\nUser u\nPass p\n" + stores + channel + "%s\n": {
			{"Pattern INBOX Lists", "folders: [INBOX, Lists]", "INBOX.Lists.go"}, {"Patterns *", `folders: ["*"]`, ""}, {"Patterns INBOX !Trash", "", ""}, {"Patterns * !Trash", `folders: ["*", "!Trash"]`, "INBOX.Lists.go"}, {"Patterns Entw&APw-rfe", "folders: [\"Entw\u00fcrfe\"]", "prefix"},
			{"MaxMessages 5", "", "never taken back"}, {"ExpireUnread yes", "", "never taken back"}, {"Sync Pull", "", "only brings new mail"}, {"Create Near", "", "no folder"}, {"Remove Both", "", "no folder"}, {"Expunge Both", "", "on_delivered"},
			{"CopyArrivalDate yes", "", "mail arrives"}, {"SyncState *", "", ""}, {"\nGroup g c", "", ""},
		},
		"%s\n\nIMAPStore r\nHost h\nUser u\nPass p\n" + stores + channel: {
			{"FSync no", "", ""}, {"BufferLimit 5m", "", ""}, {"FieldDelimiter ;", "", ""}, {"Sync All", "", "only brings new mail"}, {"SyncState ~/.sync/", "", ""},
		},
		"IMAPStore r\nHost h\nUser u\nPass p\n\nMaildirStore l\nInbox /m\n%s\n" + channel: {
			{"Path ~/Mail/", "", ""}, {"AltMap yes", "", ""}, {"InfoDelimiter ;", "", ""}, {"SubFolders Verbatim", "", ""},
		},
	})
}

// TestNameOfTheRecordOfGetmail: what getmail has in no file name is a hyphen there. A backslash is no such thing.
func TestNameOfTheRecordOfGetmail(t *testing.T) {
	for user, name := range map[string]string{`u`: "oldmail-h-995-u", `DOMAIN\u`: `oldmail-h-995-DOMAIN\u`, `a:/b`: "oldmail-h-995-a-b"} {
		plan, err := Read("getmailrc", "/home/me/.getmail/rc", []byte("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = h\nusername = "+user+"\npassword = p\n[destination]\ntype = Mboxrd\npath = /x\n"), options(nil))
		if err != nil {
			t.Fatal(err)
		}
		if looked := plan.Accounts[0].StateFiles; !strings.HasSuffix(looked[0], "/"+name) {
			t.Errorf("%s: looked for in %v, want %s", user, looked, name)
		}
	}
}

// TestWhatGetmailLeavesUpstream: what getmail marks or keeps is not deleted, and was fetched already if its record says so.
func TestWhatGetmailLeavesUpstream(t *testing.T) {
	const imap, pop3 = "SimpleIMAPSSLRetriever", "SimplePOP3SSLRetriever"
	for _, c := range []struct {
		kind, options, retriever string
		want                     string
		remembers                bool
	}{
		{imap, "", "", "keep", true},
		{imap, "delete = true", "", "delete", false},
		{imap, "delete = true", "imap_on_delete = (\\Deleted \\Seen)", "delete", false},
		{imap, "delete = true", "move_on_delete = Done", "move:Done", false},
		{imap, "delete = true", "imap_on_delete = \\Seen", "seen", true},
		{imap, "delete = true", "imap_on_delete = \\Answered", "keep", true},
		{imap, "delete = true", "imap_on_delete = \\Seen\nmove_on_delete = Done", "seen", true},
		{imap, "", "imap_on_delete = \\Seen", "keep", true},
		{imap, "mark_read = true", "", "seen", true},
		{imap, "mark_read = true\ndelete = true", "", "seen", true},
		{imap, "mark_read = true\ndelete = true", "imap_on_delete = \\Deleted", "seen", true},
		{imap, "", "use_peek = false", "seen", true},
		{pop3, "mark_read = true", "", "keep", true},
		{pop3, "delete = true", "imap_on_delete = \\Seen", "delete", false},
	} {
		plan, err := Read("getmailrc", "rc", []byte("[options]\n"+c.options+"\n[retriever]\ntype = "+c.kind+"\nserver = h\nusername = u\npassword = p\n"+c.retriever+"\n[destination]\ntype = Mboxrd\npath = /x\n"), options(nil))
		if err != nil {
			t.Fatal(err)
		}
		a := plan.Accounts[0]
		if !strings.Contains(string(plan.YAML()), "on_delivered: "+c.want+"\n") || a.Remembers != c.remembers {
			t.Errorf("%s, %q, %q: remembers %v, want %v, and on_delivered: %s in\n%s", c.kind, c.options, c.retriever, a.Remembers, c.remembers, c.want, plan.YAML())
		}
	}
}
