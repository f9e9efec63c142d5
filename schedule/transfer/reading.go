package transfer

import (
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

// Reader reads what a pass goes by from the header of a message, and touches nothing else.
type Reader struct {
	Policy received.Policy
	Client ClientRules
	// Recipient and Sender are as in [Pass].
	Recipient RecipientRule
	Sender    string
	// Chain reads the Received fields; nil means [received.ReadChain].
	Chain func(head []byte) *received.Chain
}

// Reading is what a header says.
type Reading struct {
	Heading  ledger.Heading
	Chain    *received.Chain
	Boundary received.Boundary
	// Run is what the MTA is given as the client.
	Run Presentation
	// Defect is why the header cannot be read, else nil. Then Run holds the message back, and the rest is empty.
	Defect *Defect

	sender, note           string
	recipient, noRecipient string
	// ids are the Truehop-IDs that it carries, opening is what has to stand in front of it.
	ids     []string
	opening string
}

// Read reads the header of a message at the time now.
func (r *Reader) Read(head []byte, now time.Time) (reading Reading) {
	if defect := withoutPanic("cannot be read", func() { reading = r.read(head, now) }); defect != nil {
		return unread(defect)
	}
	return reading
}

// unread is the reading of a message that cannot be read.
func unread(defect *Defect) Reading {
	return Reading{
		Chain: &received.Chain{}, Boundary: received.Boundary{Hop: -1, Outcome: received.OutcomeUnparseable, Why: "the header cannot be read"},
		Run: Presentation{Treatment: HeldBack, Why: defect.Why}, Defect: defect,
	}
}

func (r *Reader) read(head []byte, now time.Time) Reading {
	readChain := r.Chain
	if readChain == nil {
		readChain = received.ReadChain
	}
	chain := readChain(head)
	b := chain.Boundary(r.Policy)
	reading := Reading{
		Heading: ReadHeading(head), Chain: chain, Boundary: b, Run: Present(chain, b, r.Client, now),
		ids: values(head, fieldID, maxLoopIDs), opening: opening(head),
	}
	if isSubstitute(head, chain) {
		reading.Run = Presentation{Treatment: HeldBack, Why: whySubstitute}
	}
	reading.sender, reading.note = reversePath(chain, b, r.Sender)
	if r.Recipient.From != "" {
		reading.recipient, reading.noRecipient = r.Recipient.find(chain, b)
	}
	return reading
}

// Defect is a defect of truehop that a message has brought to light.
type Defect struct {
	// Why says so to a person, in one line. Nothing in it is longer than what the log of a pass shows whole.
	Why string
	// Stack is where it is, for who mends it.
	Stack string
}

// withoutPanic calls work, which reads what a message says, or puts together what is injected, and does nothing else. cannot says
// what could not be done if it panics. One message that the program has a defect with must not end the passes over all mailboxes,
// at each start anew. Nothing that holds a lock, writes the ledger or speaks with a peer may be called so: how far it came
// would not be known.
func withoutPanic(cannot string, work func()) (defect *Defect) {
	defer func() {
		if cause := recover(); cause != nil {
			text := strings.TrimPrefix(fmt.Sprint(cause), "runtime error: ")
			defect = &Defect{
				Why:   cannot + ": a defect of truehop; " + fetch.Sanitize(text) + ", in " + panicked() + "; please report it",
				Stack: string(debug.Stack()),
			}
		}
	}()
	work()
	return nil
}

// panicked returns the function that has panicked, called by the one that recovers.
func panicked() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	unwinding := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if unwinding && !inRuntime {
			return fmt.Sprintf("%s (%s:%d)", path.Base(f.Function), path.Base(f.File), f.Line)
		}
		unwinding = unwinding || f.Function == "runtime.gopanic"
		if !more {
			return "a function that is not known"
		}
	}
}
