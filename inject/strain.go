package inject

// strain is what an MTA may hold against a session, whoever is presented on it: Postfix counts errors and junk
// commands until a message is delivered, and XCLIENT clears neither count.
type strain struct {
	errors      int // replies of 4xx and 5xx
	undelivered int // messages
}

const (
	// maxErrors is one less than where Postfix begins to sleep before each line of a reply: smtpd_soft_error_limit is 10.
	maxErrors = 9
	// maxUndelivered keeps a session well below Postfix's smtpd_junk_command_limit of 100: a message that is not
	// delivered costs EHLO and RSET.
	maxUndelivered = 25
)

// bears reports whether a session may serve another message, to so many recipients: each may be refused, and
// then DATA is as well, if it was sent with them. What has borne nothing yet serves any message.
func (s strain) bears(recipients int) bool {
	if s == (strain{}) {
		return true
	}
	return s.errors+recipients+1 <= maxErrors && s.undelivered < maxUndelivered
}
