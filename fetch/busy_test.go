package fetch

import "testing"

// The replies are those of real servers to LOGIN, PASS, SELECT and of greetings, as bug reports have them.
func TestSoundsBusy(t *testing.T) {
	for text, want := range map[string]bool{
		"Server Unavailable. 15":                                      true,
		"Server Unavailable. 21":                                      true,
		"421 Server is busy, try again later.":                        true,
		"[AUTH] Temporary authentication failure":                     true,
		"User is authenticated but not connected.":                    true,
		"Too many simultaneous connections. (Failure)":                true,
		"LOGIN Server error - Please try again later":                 true,
		"unable to lock maildrop":                                     true,
		"Service is down for maintenance":                             true,
		"Please come back later":                                      true,
		"Account is temporarily locked, wrong password too often":     true,
		"Incorrect username or password. Please try again.":           false,
		"Invalid login, try again":                                    false,
		"LOGIN failed.":                                               false,
		"Authentication failed":                                       false,
		"Mailbox does not exist":                                      false,
		"Application-specific password required":                      false,
		"Your account is not enabled for IMAP use. Please visit your": false,
		"": false,
	} {
		if got := SoundsBusy(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
