package fetch

import (
	"slices"
	"strings"
	"unicode"
)

// Occasion is what a server refused.
type Occasion uint8

const (
	// Entry is the way to the mailbox: greeting, authentication, SELECT, UIDL, LIST.
	Entry Occasion = iota
	// Command is anything later, in which the fault may lie with one message.
	Command
)

// Judge says what a refusal means by its response code, in upper case and "" for none, and its words: for how long, and who
// can do something about it. It is Unclassified where neither says that; what was refused decides then. IMAP and POP3 have codes of
// different names and servers that say the same in words.
//
// What will pass is Busy. It is no reason to doubt the password or the configuration. What a person has to see to at
// the provider has advice.
func Judge(at Occasion, code, words string) (kind Kind, advice string) {
	for _, known := range judgedCodes {
		if slices.Contains(known.codes, code) {
			kind, advice = known.kind, known.advice
			break
		}
	}
	if !slices.Contains([]Kind{Unclassified, Auth, Unsupported}, kind) {
		return kind, advice
	}
	// Letters, digits and single spaces are left, in lower case, with a space before and behind them.
	plain := strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	text := " " + strings.Join(plain, " ") + " "
	blamed := containsPhrase(text, blame)
	for _, known := range judgedWords {
		switch {
		case at == Command && !known.anywhere:
		case !containsPhrase(text, known.phrases):
		case known.kind == Busy && blamed && at == Command:
		case known.kind == Busy && blamed && kind == Auth:
		case known.kind == Busy && blamed && known.weak:
		case known.kind == Busy && known.weak && kind == Auth:
		case known.kind == Busy && kind == Unsupported:
		default:
			return known.kind, known.advice
		}
	}
	return kind, advice
}

const (
	adviceOff   = "the provider has switched off this way to the mailbox: switch IMAP or POP3 on in its settings, or have its administrator do that"
	adviceWeb   = "the provider wants to see a person: log in at its web site once and confirm what it asks there"
	adviceApp   = "the provider wants a password made for programs (an app password), or OAuth 2, in place of the usual password"
	adviceOAuth = "the provider takes no passwords here: it wants OAuth 2"
)

// judgedCodes are the response codes of RFC 9051 section 7.1, RFC 9208, RFC 2449 section 8 and RFC 3206, and those of Yahoo and Google.
var judgedCodes = []struct {
	kind   Kind
	advice string
	codes  []string
}{
	{Auth, "", []string{"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "AUTH"}},
	{Auth, "the password has expired: set a new one at the provider", []string{"EXPIRED"}},
	{Auth, "use TLS", []string{"PRIVACYREQUIRED"}},
	{Auth, adviceWeb, []string{"WEBALERT"}},
	{Busy, "", []string{"UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "THROTTLED", "SERVERBUG", "SYS/TEMP"}},
	{Busy, "another session has the mailbox open", []string{"IN-USE"}},
	{Busy, "the server wants more time between two logins", []string{"LOGIN-DELAY"}},
	{Unsupported, "the provider has to see to this mailbox: it calls the trouble permanent", []string{"SYS/PERM"}},
	{NoFolder, "", []string{"NONEXISTENT"}},
	{NoFolder, "correct the folder's name, create it, or set create_folders: true", []string{"TRYCREATE"}},
	{Refused, "", []string{"NOPERM", "CANNOT", "CLIENTBUG"}},
	{Unclassified, "the provider wants to be asked", []string{"CONTACTADMIN"}},
}

// judgedWords are what servers say, as bug reports have it; the first row that fits counts. A phrase is found at the beginning of a word, and
// ends with a space where it is also to end with one.
var judgedWords = []struct {
	kind     Kind
	advice   string
	anywhere bool // about one message, too
	weak     bool // a word of blame outweighs it: "wrong password, try again later" is no promise
	phrases  []string
}{
	{kind: Auth, advice: adviceWeb, phrases: []string{
		"web login required", "via your web browser", "suspect", "suspicious", "hacked", "unsafe login", "unusual activity", "verify your account", "captcha",
	}},
	{kind: Auth, advice: adviceOAuth, phrases: []string{"basicauthblocked", "basic auth", "modern auth"}},
	{kind: Busy, anywhere: true, phrases: []string{
		"temporar", "transient", "too many", "throttl", "rate limit", "cross server access", "authenticated but not connected", // Exchange Online, when it throttles
	}},
	{kind: Auth, advice: adviceApp, phrases: []string{"application specific password", "application password", "app password", "app specific password", "authorization code"}},
	{kind: Auth, advice: adviceOff, phrases: []string{
		"not enabled", "is disabled", "are disabled", "access disabled", "been disabled", "imap disabled", "pop disabled", "pop3 disabled", "not activated", "deactivated", "switched off",
		"is not open", "service not open", "not allowed to use", "not permitted to use", "access not allowed", "access is not allowed", "no imap", "no pop",
		"not available for your", "not available for this", "not available in your", "not subscribed", "suspended",
	}},
	{kind: Busy, phrases: []string{
		"unavailable", "not available", "busy", "overload", "maintenance", "server error", "internal error", "system error",
		"unable to lock", "could not lock", "mailbox locked", "maildrop locked", "mailbox is locked", "maildrop is locked", "already locked", "in use",
		"cannot lock", "can not lock", "can t lock", "failed to lock", "for lock ", "lock failed", "lock busy", "locked by", "locking",
		"another client", "another session", "another process", "another pop", "another imap",
	}},
	{kind: Busy, weak: true, anywhere: true, phrases: []string{"try again", "retry later"}},
	{kind: Busy, weak: true, phrases: []string{
		"later", "limit ", "limits ", "exceed", "maximum number", "maximum login attempts", "slow down", "frequency limited", "too frequent", "^421 ",
		"wait ", "duplicate login",
		"timeout", "timed out", "backend", "unreachable", "not reachable", "lost connection", "connection lost", "connection failed", "connection failure",
		"connection refused", "connection error", "error connecting", "failed to connect", "unable to connect", "could not connect", "cannot connect", "unable to contact",
		"i o error", "disk error", "database error", "being migrated", "being moved",
	}},
}

// blame are the words of servers that doubt the user.
var blame = []string{"password", "credential", "invalid", "incorrect", "wrong", "bad user", "unknown user"}

func containsPhrase(text string, phrases []string) bool {
	return slices.ContainsFunc(phrases, func(phrase string) bool {
		if first, ok := strings.CutPrefix(phrase, "^"); ok {
			return strings.HasPrefix(text, " "+first)
		}
		return strings.Contains(text, " "+phrase)
	})
}
