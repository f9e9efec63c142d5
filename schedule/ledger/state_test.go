package ledger

import (
	"slices"
	"testing"
)

func TestWhatAStateMeans(t *testing.T) {
	rows := []struct {
		state                          State
		final, person, doubt, fullDisk bool // fullDisk: it may be written with the disk full
	}{
		{Delivered, true, false, false, true},
		{Deferred, false, false, false, true},
		{Doubt, false, false, true, true},
		{Sending, false, false, true, false},
		{Refused, true, true, false, true},
		{PartlyRefused, true, true, false, true},
		{Quarantined, true, false, false, true},
		{Held, true, true, false, true},
		{Lost, false, true, false, true},
		{Adopted, true, false, false, false},
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
		if got := r.state.settles(); got != r.fullDisk {
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
	if none := State("gone"); none.Final() || none.WantsPerson() || none.InDoubt() {
		t.Error("a text that is no state means something")
	}
}
