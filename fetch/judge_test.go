package fetch

import "testing"

// The words are those of real servers to LOGIN, PASS, SELECT and in greetings, as bug reports have them.
func TestJudgeTheWayToTheMailbox(t *testing.T) {
	const (
		off, web, app, oauth = adviceOff, adviceWeb, adviceApp, adviceOAuth
	)
	for _, test := range []struct {
		code, words string
		want        Kind
		advice      string
	}{
		// What passes.
		{"", "Server Unavailable. 15", Busy, ""},
		{"", "421 Server is busy, try again later.", Busy, ""},
		{"", "421 4.7.0 closing", Busy, ""},
		{"", "User is authenticated but not connected.", Busy, ""},
		{"ALERT", "Too many simultaneous connections. (Failure)", Busy, ""},
		{"", "LOGIN Server error - Please try again later", Busy, ""},
		{"", "unable to lock maildrop", Busy, ""},
		{"", "Service is down for maintenance", Busy, ""},
		{"", "Please come back later", Busy, ""},
		{"", "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", Busy, ""},
		{"", "Login limit reached", Busy, ""},
		{"", "Connection limit exceeded", Busy, ""},
		{"", "Account exceeded command or bandwidth limits. (Failure)", Busy, ""},
		{"", "System busy!", Busy, ""},
		{"", "IMAP access is temporarily disabled", Busy, ""},
		{"", "Account is temporarily locked, wrong password too often", Busy, ""},
		{"", `[Error="Microsoft.Exchange.X:Cross Server access is not allowed" Service=Imap4] SELECT failed`, Busy, ""},
		{"LIMIT", "Rate limit hit.", Busy, ""},
		{"UNAVAILABLE", "Wrong password", Busy, ""},
		{"SERVERBUG", "SELECT Server error", Busy, ""},
		{"IN-USE", "x", Busy, "another session has the mailbox open"},
		{"LOGIN-DELAY", "x", Busy, "the server wants more time between two logins"},
		{"SYS/TEMP", "Temporary authentication failure.", Busy, ""},
		{"AUTHENTICATIONFAILED", "Temporary authentication failure.", Busy, ""},
		{"AUTH", "Service temporarily unavailable", Busy, ""},
		{"X-ODD", "Server busy", Busy, ""},

		{"", "can't lock mailbox, another client is using it", Busy, ""},
		{"", "Timeout while waiting for lock", Busy, ""},
		{"", "can not lock, a POP session is active", Busy, ""},
		{"", "Mailbox lock failed", Busy, ""},
		{"", "[mailbox] lock busy! Is another session active? (11)", Busy, ""},
		{"", "Another POP3 session is running for this user", Busy, ""},
		{"", "maildrop locked by pop server", Busy, ""},
		{"", "Error locking your mailbox", Busy, ""},
		{"", "Login timed out", Busy, ""},
		{"", "Backend server not reachable", Busy, ""},
		{"", "Proxy backend connection failed", Busy, ""},
		{"", "Lost connection to authentication server", Busy, ""},
		{"", "Unable to contact LDAP server", Busy, ""},
		{"", "Database connection failure", Busy, ""},
		{"", "System I/O error", Busy, ""},
		{"", "Mailbox is currently being migrated", Busy, ""},
		{"", "login frequency limited", Busy, ""},
		{"", "maximum login attempts reached, wait 10 minutes", Busy, ""},
		{"", "Please wait a few minutes before you log in again", Busy, ""},
		{"", "duplicate login!", Busy, ""},

		// What a person has to see to.
		{"ALERT", "Your account is not enabled for IMAP use. Please visit your Gmail settings page", Auth, off},
		{"SYS/PERM", "Your account is not enabled for POP access.", Auth, off},
		{"SYS/PERM", "Mailbox damaged, try again later", Unsupported, "the provider has to see to this mailbox: it calls the trouble permanent"},
		{"AUTHENTICATIONFAILED", "LOGIN Invalid credentials or IMAP is disabled", Auth, off},
		{"", "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or system is busy.", Auth, off},
		{"", "IMAP access disabled for your domain. Please contact your domain administrator.", Auth, off},
		{"ALERT", "Please log in via your web browser", Auth, web},
		{"WEBALERT", "Web login required.", Auth, web},
		{"", "SELECT Unsafe Login. Please contact the postmaster for help", Auth, web},
		{"", "Access to your account has been temporarily restricted as we suspect it may have been hacked.", Auth, web},
		{"ALERT", "Application-specific password required", Auth, app},
		{"", `[Error="AuthFailed:LogonDenied-BasicAuthBlocked-"] Logon failure`, Auth, oauth},
		{"EXPIRED", "x", Auth, "the password has expired: set a new one at the provider"},

		// What says no more than no.
		{"AUTHENTICATIONFAILED", "Authentication failed, try again later.", Auth, ""},
		{"AUTHENTICATIONFAILED", "Invalid credentials: too many", Auth, ""},
		{"AUTH", "wrong user or password", Auth, ""},
		{"", "Incorrect username or password. Please try again.", Unclassified, ""},
		{"", "Invalid login, try again later", Unclassified, ""},
		{"", "LOGIN failed.", Unclassified, ""},
		{"", "Incorrect password, 3 attempts left", Unclassified, ""},
		{"", "Bad user or password (backend)", Unclassified, ""},
		{"", "SELECT failed: Can't open mailbox x: no such mailbox", Unclassified, ""},
		{"AUTHENTICATIONFAILED", "backend", Auth, ""},
		{"", "Authentication failed", Unclassified, ""},
		{"", "Mailbox does not exist", Unclassified, ""},
		{"", "This name is unlimited", Unclassified, ""},
		{"", "Wrong password. Please wait before you try again", Unclassified, ""},
		{"AUTH", "wait", Auth, ""},
		{"", "Account awaits activation", Unclassified, ""},
		{"", "Account locked", Unclassified, ""},
		{"", "reference 421 there", Unclassified, ""},
		{"REFERRAL", "go there", Unclassified, ""},
		{"CONTACTADMIN", "x", Unclassified, "the provider wants to be asked"},
		{"TRYCREATE", "x", NoFolder, "correct the folder's name, create it, or set create_folders: true"},
		{"NONEXISTENT", "later", NoFolder, ""},
		{"NOPERM", "too many", Refused, ""},
		{"", "", Unclassified, ""},
	} {
		if kind, advice := Judge(Entry, test.code, test.words); kind != test.want || advice != test.advice {
			t.Errorf("[%s] %s: %v, advice %q; want %v, %q", test.code, test.words, kind, advice, test.want, test.advice)
		}
	}
}

// TestJudgeACommand: where the fault may be one message's, only what concerns every command is Busy.
func TestJudgeACommand(t *testing.T) {
	for words, want := range map[string]Kind{
		"Too many commands":                        Busy,
		"User is authenticated but not connected.": Busy,
		"Please try again":                         Busy,
		"password, try again":                      Unclassified,
		"too many passwords":                       Unclassified,
		"Server error":                             Unclassified,
		"The message is not available":             Unclassified,
		"message exceeds the limit":                Unclassified,
		"fetching is disabled":                     Unclassified,
	} {
		if kind, _ := Judge(Command, "", words); kind != want {
			t.Errorf("%q: %v, want %v", words, kind, want)
		}
	}
}
