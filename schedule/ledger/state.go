package ledger

// State is what is known of a message. One that the ledger has never seen has none: it is new.
//
//		          new ------------------------+
//		           |                          |  without a dot
//		  the dot  |                          v
//		           v       the reply     adopted, delivered, quarantined
//		+-----> sending ---------------> refused, partly-refused, held <---+
//		|          |                          |                            |
//		|          v                          |  truehop retry             |
//		+--- deferred, doubt <----------------+                            |
//		           |                                       after too long  |
//		           +-------------------------------------------------------+
//
//	  - sending is durable before the dot and replaced after the reply. A run that dies in between leaves it, and the
//	    next pass treats it like doubt.
//	  - Without a dot a message that is new, deferred or in doubt may become adopted, deferred, refused or held: the MTA
//	    answered earlier, or the message could not be retrieved or not be put to it.
//	  - deferred and doubt lead to another attempt when their time has come. All states in the right column are final.
//	  - What is sending, deferred, in doubt or held and gone from a complete listing becomes lost. It leads to another attempt
//	    if it is listed again.
//	  - "truehop forget" makes a message new, whatever its state.
type State string

const (
	// Sending is durable before the final dot goes out. Found at the start of a
	// pass it means that nobody knows whether the MTA took the message.
	Sending State = "sending"
	// Delivered means that the MTA answered 2xx to the dot.
	Delivered State = "delivered"
	// Deferred means not now: try again, not before Next.
	Deferred State = "deferred"
	// Refused means that the MTA answered 5xx to the message or its client.
	Refused State = "refused"
	// PartlyRefused means that some recipients have the message and that it was refused for
	// others: see [Record.Verdicts].
	PartlyRefused State = "partly-refused"
	// Quarantined means that the MTA refused the message and that the address of the
	// quarantine has it.
	Quarantined State = "quarantined"
	// Held means that truehop cannot go on by itself.
	Held State = "held"
	// Doubt means that the dot was sent and no reply came.
	Doubt State = "doubt"
	// Adopted means known and never to be injected: the mail that a mailbox held
	// when it was taken over, or that another agent has fetched.
	Adopted State = "adopted"
	// Lost means that the message went from the mailbox before it was delivered, by another hand than ours. Where
	// [Record.Doubts] is not zero the MTA may have it all the same.
	Lost State = "lost"
)

// states are all states, in the order in which a person reads them.
func states() [10]State {
	return [...]State{Delivered, Deferred, Doubt, Sending, Refused, PartlyRefused, Quarantined, Held, Lost, Adopted}
}

// States returns all states, in the order in which a person reads them.
func States() []State {
	all := states()
	return all[:]
}

// StatesWhere returns the states for which is reports true, in the order of [States], such as
// StatesWhere(State.WantsPerson).
func StatesWhere(is func(State) bool) []State {
	var found []State
	for _, s := range states() {
		if is(s) {
			found = append(found, s)
		}
	}
	return found
}

// Final reports whether no pass tries a message in s again.
func (s State) Final() bool {
	switch s {
	case Delivered, Refused, PartlyRefused, Quarantined, Held, Adopted:
		return true
	}
	return false
}

// WantsPerson reports whether a message in s is not where it should be and no pass can help it: a person has to decide.
func (s State) WantsPerson() bool {
	switch s {
	case Refused, PartlyRefused, Held, Lost:
		return true
	}
	return false
}

// Waits reports whether a pass tries a message in s again once its time has come.
func (s State) Waits() bool {
	switch s {
	case Sending, Deferred, Doubt:
		return true
	}
	return false
}

// Arrived reports whether a message in s is somewhere in whole: the MTA took it for all its recipients, or the quarantine has it.
func (s State) Arrived() bool {
	switch s {
	case Delivered, Quarantined:
		return true
	}
	return false
}

// InDoubt reports whether the MTA may have taken a message in s without truehop having seen the reply.
func (s State) InDoubt() bool {
	switch s {
	case Sending, Doubt:
		return true
	}
	return false
}

// endsAttempt reports whether s is the result of an attempt. With the disk full such a record may use
// the space that is set aside. Sending begins an attempt, and Adopted can be written later.
func (s State) endsAttempt() bool {
	switch s {
	case Sending, Adopted:
		return false
	}
	return true
}

// canonical returns the constant for a state, so that no row keeps text of its own, or "" for a text that is none.
func canonical(s string) State {
	for _, known := range states() {
		if s == string(known) {
			return known
		}
	}
	return ""
}
