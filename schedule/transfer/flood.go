package transfer

import (
	"fmt"
	"slices"

	"github.com/truehop/truehop/fetch"
)

// Flood guards against a mailbox that looks new and is not: a new UIDVALIDITY,
// renumbered unique-ids, a lost ledger.
type Flood struct {
	// Limit is the number of unknown messages above which such a listing stops the pass.
	Limit int
	// First says what to do with a mailbox that the ledger has never seen.
	First FirstRun
	// Accept goes on where the limit would stop the pass: a person has looked.
	Accept bool
	// Adopt records all unknown messages as done, delivering none of them.
	Adopt bool
}

// sighting is what is known of a folder that holds unknown messages.
type sighting struct {
	folder folderKey
	// generations are all UIDVALIDITYs under which the ledger has records of the folder.
	generations []uint32
	// listed messages are in the folder, unknown of them have no record. known UIDs have one, and
	// vanished messages were not listed, and no pass can have disposed of them.
	listed, unknown, known, vanished int
	// passEndedWell says that some pass over the account ended without an error.
	passEndedWell bool
	// seen says that a pass has come to the end of the folder: what is new there has come since.
	seen bool
	// adopting says that no pass has come to the end of the folder, and that those which were cut short have adopted some of its
	// messages and done nothing else. Without UIDs they are adopted one by one.
	adopting bool
}

// renumbered reports whether the ledger has records of the folder under another UIDVALIDITY.
func (s *sighting) renumbered() bool {
	return slices.ContainsFunc(s.generations, func(validity uint32) bool { return validity != s.folder.validity })
}

// stays reports whether mail that was delivered long ago may be listed, if this becomes of it.
func stays(delivered fetch.Action) bool { return delivered != fetch.Delete && delivered != fetch.Move }

// titleOf is what a folder is called to people.
func titleOf(folder string) string {
	if folder == "" {
		return "the mailbox"
	}
	return "folder " + folder
}

// judge says whether unknown messages of a folder are to be adopted, those that [Flood.adoptable] chooses, or, with an error of type
// *[Error], that delivering them would be a flood of old mail: the mailbox was renumbered, or its ledger
// was lost. delivered is what becomes upstream of delivered mail.
func (f Flood) judge(s sighting, delivered fetch.Action) (adopt bool, err error) {
	first, many := len(s.generations) == 0, s.unknown > f.Limit
	title := titleOf(s.folder.name)
	stop := func(format string, args ...any) (bool, error) {
		return false, &Error{Op: "list " + title, Text: fmt.Sprintf(format, args...), Advice: fmt.Sprintf(
			"look at the mailbox, then truehop accept %[1]s delivers what the ledger does not know by its content, and truehop adopt %[1]s records it all as done without delivering any of it", s.folder.account)}
	}
	switch {
	case f.Accept, f.Adopt:
		return f.Adopt, nil
	case first && f.First.adopts() && !s.passEndedWell && !s.seen:
		return true, nil
	case !many:
		return false, nil // after a good pass, a folder without records was just empty
	case first && f.First.adopts() && !s.seen:
		return true, nil
	case first && f.First.adopts():
		return stop("it was empty when a pass first saw it, and holds %d messages: either they have come since, or the server did not show them then", s.unknown)
	case s.adopting && f.First.Action == AdoptAll:
		return true, nil
	case s.adopting:
		return stop("a pass that was to adopt its messages was cut short, and %d of %d look new", s.unknown, s.listed)
	case s.renumbered() && s.known == 0:
		return stop("UIDVALIDITY changed to %d: the server numbers its messages anew, and %d of %d look new", s.folder.validity, s.unknown, s.listed)
	case s.vanished > max(10, s.known/5):
		return stop("%d known messages vanished at once and %d look new: the server seems to have renumbered its messages", s.vanished, s.unknown)
	case first && stays(delivered) && f.First.Action == Ask:
		return stop("the ledger knows nothing of this mailbox, which keeps its messages and holds %d: either this is the first pass, or the ledger was lost", s.unknown)
	}
	return false, nil
}
