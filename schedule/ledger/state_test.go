package ledger

import (
	"slices"
	"testing"
)

func TestWhatAStateMeans(t *testing.T) {
	rows := []struct {
		state                          State
		final, person, doubt, fullDisk bool // fullDisk: it may be written with the disk full
		waits, arrived                 bool
	}{
		{Delivered, true, false, false, true, false, true},
		{Deferred, false, false, false, true, true, false},
		{Doubt, false, false, true, true, true, false},
		{Sending, false, false, true, false, true, false},
		{Refused, true, true, false, true, false, false},
		{PartlyRefused, true, true, false, true, false, false},
		{Quarantined, true, false, false, true, false, true},
		{Held, true, true, false, true, false, false},
		{Lost, false, true, false, true, false, false},
		{Adopted, true, false, false, false, false, false},
	}
	var all, person, doubt []State
	for _, r := range rows {
		if got := r.state.Final(); got != r.final {
			t.Errorf("%s: final %v, want %v", r.state, got, r.final)
		}
		if got := r.state.WantsPerson(); got != r.person {
			t.Errorf("%s: wants a person %v, want %v", r.state, got, r.person)
		}
		if got := r.state.InDoubt(); got != r.doubt {
			t.Errorf("%s: in doubt %v, want %v", r.state, got, r.doubt)
		}
		if got := r.state.Waits(); got != r.waits {
			t.Errorf("%s: waits %v, want %v", r.state, got, r.waits)
		}
		if got := r.state.Arrived(); got != r.arrived {
			t.Errorf("%s: arrived %v, want %v", r.state, got, r.arrived)
		}
		if got := r.state.endsAttempt(); got != r.fullDisk {
			t.Errorf("%s: may be written with the disk full %v, want %v", r.state, got, r.fullDisk)
		}
		all = append(all, r.state)
		if r.person {
			person = append(person, r.state)
		}
		if r.doubt {
			doubt = append(doubt, r.state)
		}
	}
	if got := States(); !slices.Equal(got, all) {
		t.Errorf("States() = %v, want %v", got, all)
	}
	if got := StatesWhere(State.WantsPerson); !slices.Equal(got, person) {
		t.Errorf("a person is wanted by %v, want %v", got, person)
	}
	if got := StatesWhere(State.InDoubt); !slices.Equal(got, doubt) {
		t.Errorf("in doubt are %v, want %v", got, doubt)
	}
	// A text that is no state is nothing that a pass could act upon.
	if none := State("gone"); none.Final() || none.WantsPerson() || none.InDoubt() || none.Waits() || none.Arrived() {
		t.Error("a text that is no state means something")
	}
}
