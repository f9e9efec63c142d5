package transfer

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"io"
	"strings"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// tokenLength is that of a Truehop-ID, in octets.
const tokenLength = 26

// token derives a message's Truehop-ID from its identity: the same at every attempt,
// so that a filter behind the MTA can drop a second copy (RFC 7352).
func token(key ledger.Key) string {
	h := sha256.New()
	for _, part := range []string{key.Account, key.Folder, key.UID} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(part))) // a hash never fails
		_, _ = io.WriteString(h, part)
	}
	_ = binary.Write(h, binary.BigEndian, key.Validity)
	_, _ = h.Write(key.Hash[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// recognition says how a retrieved message was recognised.
type recognition uint8

const (
	// unrecognised: no record has its content.
	unrecognised recognition = iota
	// unfinished: a record has its content, and no final verdict.
	unfinished
	// sameUID: it had its final verdict under this UID.
	sameUID
	// reappeared: it had its final verdict, was disposed of, and is listed again as it was: QUIT was lost, or the
	// mailbox restored from a backup.
	reappeared
	// renamed: it had its final verdict under another UID.
	renamed
	// elsewhere: it was delivered from another folder, from which it was moved or copied.
	elsewhere
)

// recognisedWhy is what a person is told of a message that had its final verdict before.
var recognisedWhy = [...]string{
	sameUID: "delivered at an earlier pass", reappeared: "disposed of at an earlier pass, and there again",
	renamed: "known by its content under another UID", elsewhere: "known by its content in another folder",
}

// identity is what the ledger knows of a retrieved message.
type identity struct {
	recognition recognition
	// record continues the one that was found, under the key that the message has now.
	record ledger.Record
	// absent says that the record has the message as gone, which is to be corrected.
	absent bool
	// altered says that a record has its UID, and another content of what seems to be the same message.
	altered bool
	// known says that some record names the message, be it only as one that could not be retrieved.
	known bool
	// replaces are the keys of records that record makes void; claimed is the one among them that the
	// message was recognised by under another UID.
	replaces []ledger.Key
	claimed  ledger.Key
	// waits is the record of the same content in another folder, where that is without a final verdict; nil if there is none.
	waits *ledger.Record
}

// identityRules are what recognition goes by, beside the message and the records.
type identityRules struct {
	now    time.Time
	giveUp time.Duration
	// disposal says what has become of messages, account what the account's clock shows.
	disposal disposalRules
	account  time.Duration
}

// knownByUID looks for a message among the records of its UID, by its content.
func knownByUID(key ledger.Key, size int64, briefs []ledger.Brief, rules identityRules) identity {
	id := identity{record: ledger.Record{Key: key, Token: token(key), Size: size, First: rules.now}}
	for _, b := range briefs {
		if b.Hash == key.Hash {
			id.known, id.absent = true, b.Absent
			id.record.State, id.record.Token, id.record.Ran, id.record.Listed = b.State, b.Token, b.Ran, b.Listed
			id.record.DotSent, id.record.Judged = b.DotSent, b.Judged
			if b.State.Final() {
				id.recognition, id.record.Disposed = sameUID, b.Disposed
				return id
			}
			id.recognition = unfinished
			id.record.Attempts, id.record.Doubts = b.Attempts, b.Doubts
			id.resume(b.First, b.Next, rules)
			return id
		}
		if b.Hash == noHash && !b.State.Final() {
			id.known = true
			id.replaces = append(id.replaces, ledger.Key{Account: key.Account, Folder: key.Folder, Validity: key.Validity, UID: key.UID})
		}
	}
	return id
}

// knownByContent looks for a message that knownByUID has not recognised among all records of its content in the
// folder. Such a record serves where its message is not listed any more under the UID it had: after a new
// UIDVALIDITY, in a renumbered mailbox. Each serves once, so that two equal messages stay two: listed
// counts the messages of the listing by their UIDs, claimed holds the records that have served.
func (id identity) knownByContent(records []ledger.Record, listed uidCounts, claimed map[ledger.Key]bool, rules identityRules) identity {
	key := id.record.Key
	for _, old := range records {
		if old.Key == key && old.State.Final() {
			id.recognition, id.record, id.absent, id.known = reappeared, old, true, true
			return id
		}
		isNamed := old.Validity == key.Validity && old.UID != "" && !old.Absent
		stillListed := isNamed && listed[old.UID].listed > 0
		disposal, _ := rules.disposal.of(old.State, rules.account-old.Ran, old.Judged)
		isRemoved := rules.disposal.isAgain(old.Disposed, disposal)
		if stillListed || isRemoved || claimed[old.Key] {
			continue
		}
		id.claimed, id.known = old.Key, true
		id.replaces = append(id.replaces, old.Key)
		if old.Validity != key.Validity { // also what stands for it from a pass at which it could not be read
			unread := old.Key
			unread.Hash = noHash
			id.replaces = append(id.replaces, unread)
		}
		id.record = old
		id.record.Key, id.record.Absent = key, false
		if old.State.Final() {
			id.recognition = renamed
			return id
		}
		id.recognition = unfinished
		id.resume(old.First, old.Next, rules)
		return id
	}
	return id
}

// knownElsewhere looks for a message that has no final verdict among the records of its content in all folders of the account. People and
// filters move mail between folders, which must not deliver it again; and to the octet, with the same Received fields, no two deliveries by the
// upstream are alike. Where the other folder has a verdict that left the message undelivered, this folder gets its own. Where it has none,
// what the MTA may have of the message, and for whom, counts here, too; and where it is not there any more, this folder goes on for it.
func (id identity) knownElsewhere(records []ledger.Record, rules identityRules) identity {
	key := id.record.Key
	for _, old := range records {
		done := old.State == ledger.Delivered && old.Folder != key.Folder
		if id.recognition == unfinished && !done {
			continue // a person may have asked for what only some have
		}
		if isVerdict(old.State) {
			id.recognition, id.known, id.record = elsewhere, true, old
			id.record.Key, id.record.Absent, id.record.Disposed = key, false, false
			return id
		}
	}
	if id.recognition == unfinished {
		return id
	}
	for _, old := range records {
		if old.State.Final() || old.Folder == key.Folder {
			continue
		}
		id.waits = &old
		if !old.Absent {
			id.record.Token, id.record.Doubts, id.record.DotSent = old.Token, old.Doubts, old.DotSent
			if old.State == ledger.Sending {
				id.record.Doubts++
			}
			return id
		}
		id.recognition, id.known, id.record = unfinished, true, old
		id.replaces = append(id.replaces, old.Key)
		id.record.Key, id.record.Absent = key, false
		id.resume(old.First, old.Next, rules)
		return id
	}
	return id
}

// isVerdict reports whether a message in s is done with in all folders.
func isVerdict(s ledger.State) bool {
	switch s {
	case ledger.Delivered, ledger.PartlyRefused, ledger.Quarantined, ledger.Adopted:
		return true
	}
	return false
}

// isAltered checks a message whose content has no record: does a record have its UID, and is it of the same message? Where
// UIDs last the UID is enough, else the fingerprint decides. A record that is not final is replaced.
func (id identity) isAltered(briefs []ledger.Brief, fingerprint ledger.Fingerprint, lastingUIDs bool) identity {
	for _, b := range briefs {
		same := b.Fingerprint == fingerprint && fingerprint != ledger.Fingerprint{}
		switch {
		case b.Hash == noHash, b.Absent, b.Disposed:
		case lastingUIDs, same:
			id.altered, id.known = true, true
			if !b.State.Final() {
				key := id.record.Key
				key.Hash = b.Hash
				id.replaces = append(id.replaces, key)
			}
		}
	}
	return id
}

// resume takes up a message without a final verdict that was first seen at first and due again at next. What was
// lost is there again.
func (id *identity) resume(first, next time.Time, rules identityRules) {
	id.record.Acknowledged = time.Time{}
	if id.record.State == ledger.Sending {
		id.record.Doubts++ // a run died between the dot and the reply
	}
	// A time in which nobody tried it, longer than the age that ends it, does not count: the
	// machine was off, or the clock is another one now.
	late := rules.now.Sub(next)
	if !next.IsZero() && rules.giveUp > 0 && late > rules.giveUp {
		first = first.Add(late)
	}
	if first.After(rules.now) {
		first = rules.now
	}
	id.record.First = first
}
