package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestExplainOfADefect: where truehop itself has a defect with a message, explain says what a pass would say and do.
func TestExplainOfADefect(t *testing.T) {
	p := DefaultPresenter(received.Policy{})
	p.readChain = func([]byte) *received.Chain { panic("odd \x1b[2J") }
	x := p.Explain(t.Context(), []byte("Subject: a text\r\n\r\n"))
	if x.Run.Treatment != transfer.HeldBack || len(x.Commands) > 0 {
		t.Errorf("explained as %+v", x)
	}
	shown := ui.Explanation(x)
	var text, object bytes.Buffer
	if err := shown.Print(&text, "file", false); err != nil {
		t.Error(err)
	}
	if err := shown.PrintJSON(&object, "file"); err != nil {
		t.Error(err)
	}
	for form, said := range map[string]string{"text": text.String(), "JSON": object.String()} {
		if !strings.Contains(said, "cannot be read: a defect of truehop; odd ?[2J, in app.TestExplainOfADefect") {
			t.Errorf("the %s says\n%s", form, said)
		}
	}
	if !strings.Contains(text.String(), "run holds it: ") {
		t.Errorf("it says\n%s", text.String())
	}
}
