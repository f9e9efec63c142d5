package fetch

import "strings"

// busyWords are those of servers that cannot serve anybody, or this mailbox, for a while.
var busyWords = []string{
	"temporar", "unavailable", "not available", "too many", "throttl", "busy", "overload", "maintenance", "server error", "internal error",
	"authenticated but not connected", // Exchange Online, when it throttles
	"unable to lock", "mailbox locked", "maildrop locked", "mailbox is locked", "maildrop is locked", "already locked", "in use",
}

// blameWords are those of servers that doubt the user. "Wrong password, try again" is no promise.
var blameWords = []string{"password", "credential", "invalid", "incorrect", "wrong"}

// SoundsBusy reports whether a server without response codes says that its refusal is for the time being. Such a refusal
// is no reason to doubt the password or the configuration.
func SoundsBusy(text string) bool {
	text = strings.ToLower(text)
	has := func(words []string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	if has(busyWords) {
		return true
	}
	return has([]string{"try again", "later"}) && !has(blameWords)
}
