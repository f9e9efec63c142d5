package imap

import (
	"io"
	"slices"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// Refs of another folder, of another UIDVALIDITY or made up are never settled.
func TestSettleForeign(t *testing.T) {
	box := fakeserver.NewStore()
	box.Add("Other", []byte("x"))
	fetchtest.Fill(box, 3)
	c, refs := open(t, server(box), plaintext())
	foreign := slices.Clone(refs)
	foreign[0].Validity++
	foreign[1].Folder = "Other"
	foreign[2].UID = "1:*"
	failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, foreign)
	if err != nil || len(failures) != 3 {
		t.Errorf("got %v, %v; want three failures", failures, err)
	}
	_, failed, err := fetchtest.Collect(t.Context(), c, foreign)
	if err != nil || len(failed) != 3 {
		t.Errorf("Retrieve: got %v, %v; want three failures", failed, err)
	}
	if got := box.UIDs(""); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}

// A folder whose UIDVALIDITY changed in mid-session is not touched.
func TestSettleValidityChanged(t *testing.T) {
	box := fakeserver.NewStore()
	fetchtest.Fill(box, 3)
	s := server(box)
	s.Before = func(verb, _ string) string {
		if verb == "UID FETCH" {
			return "* OK [UIDVALIDITY 2] changed\r\n"
		}
		return ""
	}
	c, refs := open(t, s, plaintext())
	err := c.Retrieve(t.Context(), refs, func(m fetch.Message) error {
		if raw, err := io.ReadAll(m.Body); err == nil {
			t.Errorf("a message came: %q", raw)
		}
		return nil
	})
	if fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("Retrieve: got %v, want Kind protocol", err)
	}
	if _, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs); err == nil {
		t.Error("Settle went on")
	}
	if got := box.UIDs(""); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}
