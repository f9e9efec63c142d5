package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// maxTold bounds the messages that are told one by one of a pass.
const maxTold = 10

// Screen tells a person at a terminal what run does: how far it has come while it works, and of each account a sentence
// at its end, with what wants the person. It is safe for concurrent use.
type Screen struct {
	*slog.Logger // of what is odd about upstreams

	mu   sync.Mutex
	w    io.Writer
	o    ScreenOptions
	bars *mpb.Progress // nil where no progress is shown
	// refresh has the bars drawn, and with them what was printed above. gone is closed when they draw no more, closing ends drawing.
	refresh, gone chan any
	closing       chan struct{}
	drawing       sync.WaitGroup
	// passes are those under way, by account.
	passes map[string]*passView
}

// passView is what the screen knows of a pass.
type passView struct {
	progress
	bar *mpb.Bar
	// trouble are the messages that a person is told of, the first maxTold of them; more counts the others.
	trouble []transfer.Event
	more    int
	// settled counts what was disposed of upstream, by what became of it there.
	settled map[string]int
}

// ScreenOptions say what the terminal is like, and how much is told.
type ScreenOptions struct {
	// Width is that of the terminal, in columns.
	Width int
	// Progress says that the terminal can move its cursor, Color that colours are wanted.
	Progress, Color bool
	Quiet           bool // only what is wrong
	Addresses       config.AddressDetail
	// Config is what --config said, for the command lines that are suggested.
	Config string
	Now    func() time.Time
}

// NewScreen returns a screen on w. It must be closed.
func NewScreen(w io.Writer, o ScreenOptions) *Screen {
	s := &Screen{w: w, o: o, passes: map[string]*passView{}}
	if o.Progress && !o.Quiet {
		s.refresh, s.gone, s.closing = make(chan any), make(chan any), make(chan struct{})
		s.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(o.Width), mpb.WithManualRefresh(s.refresh), mpb.WithShutdownNotifier(s.gone))
		s.drawing.Go(s.draw)
	}
	s.Logger = slog.New(slog.NewTextHandler(screenLines{s}, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: maskedText(o.Addresses)}))
	return s
}

// draw has the bars drawn now and then, and a last time when the screen is closed: mpb throws away what was printed above the
// bars since it drew them last (v8.16.2, which draws at its end only where a bar has just gone).
func (s *Screen) draw() {
	ticks := time.NewTicker(150 * time.Millisecond)
	defer ticks.Stop()
	for closing := false; !closing; {
		select {
		case <-ticks.C:
		case <-s.closing:
			closing = true
		}
		select {
		case s.refresh <- s.o.Now():
		case <-s.gone:
			return
		}
	}
}

// Close ends the progress and waits until all is written.
func (s *Screen) Close() {
	if s.bars != nil {
		close(s.closing)
		s.drawing.Wait()
		s.bars.Shutdown()
	}
}

// screenLines writes what a logger says between the bars.
type screenLines struct{ s *Screen }

// Write takes whole lines.
func (l screenLines) Write(line []byte) (int, error) {
	l.s.print(string(line))
	return len(line), nil
}

// print writes whole lines above the bars.
func (s *Screen) print(text string) {
	if s.bars != nil {
		if _, err := io.WriteString(s.bars, text); err == nil {
			return
		}
	}
	_, _ = io.WriteString(s.w, text) // a terminal that is gone is told nothing
}

// view returns what is known of a pass, and begins it where it has not begun.
func (s *Screen) view(account string) *passView {
	v := s.passes[account]
	if v == nil {
		v = &passView{progress: progress{account: account}}
		s.passes[account] = v
	}
	return v
}

// Begin tells that a pass begins.
func (s *Screen) Begin(account string) {
	s.mu.Lock()
	v := s.view(account)
	s.mu.Unlock()
	if s.bars == nil {
		return
	}
	text := func(decor.Statistics) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return v.text(s.o.Now())
	}
	bar := s.bars.New(1, mpb.BarStyle().Lbound("[").Rbound("]").Filler("=").Tip(">").Padding(" "), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(account+" ", decor.WCSyncSpaceR)), mpb.AppendDecorators(decor.Any(text, decor.WC{C: decor.DindentRight})), mpb.BarRemoveOnComplete())
	s.mu.Lock()
	defer s.mu.Unlock()
	v.bar = bar
}

// Event takes an event of a pass.
func (s *Screen) Event(e transfer.Event) {
	s.mu.Lock()
	v := s.view(e.Account)
	shows := v.add(e, s.o.Now())
	if wantsTelling(e) {
		if len(v.trouble) < maxTold {
			v.trouble = append(v.trouble, e)
		} else {
			v.more++
		}
	}
	if e.Kind == transfer.Settled {
		if v.settled == nil {
			v.settled = map[string]int{}
		}
		v.settled[disposalText(e.Disposal)]++
	}
	bar, octets, came := v.bar, v.octets, v.came
	s.mu.Unlock()
	if bar != nil && shows { // the bar's own goroutine may be waiting for the lock
		bar.SetTotal(max(octets, came)+1, false)
		bar.SetCurrent(came)
	}
	switch e.Kind {
	case transfer.Restored, transfer.Misfit:
		s.Warning(e.Account + ": " + fetch.Printable(e.Why))
	case transfer.NotMarked, transfer.NotSettled:
		s.Warning(e.Account + ": " + fetch.Printable(e.Err.Error()))
	}
}

// Arriving takes how many octets have come of the message that an account's pass is reading. It does not wait for the terminal.
func (s *Screen) Arriving(account string, octets int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view(account).arriving = octets
}

// wantsTelling reports whether a person is told of the message that an event is about.
func wantsTelling(e transfer.Event) bool {
	switch e.Kind {
	case transfer.Verdict, transfer.Vanished:
		state := ledger.State(e.State)
		return state.WantsPerson() || state.InDoubt()
	}
	return e.Kind == transfer.NotRetrieved
}

// Warning tells what is odd.
func (s *Screen) Warning(text string) {
	const word = "warning: "
	s.print(strings.Replace(s.fold(word+text, 2), word, s.paint(sgrBold, word), 1))
}

// Awaiting answers a signal: it tells why the program goes on, if it does.
func (s *Screen) Awaiting(messages int) {
	switch {
	case messages > 0:
		s.print(fmt.Sprintf("waiting for the MTA's reply about %s; press Ctrl-C again to stop now\n", count(messages, "message")))
	case !s.o.Quiet:
		s.print("ending; no message is with the MTA\n")
	}
}

// Woken tells that a running service makes the pass over an account.
func (s *Screen) Woken(account string) {
	s.end(account)
	if !s.o.Quiet {
		s.print(account + "  the service is in a pass over it, and makes another one directly after it\n")
	}
}

// Waits tells once of a pass that has not begun for a minute, since others are under way.
func (s *Screen) Waits(account, upstream string, waited time.Duration) {
	if waited >= time.Minute && waited < 2*time.Minute && !s.o.Quiet {
		s.print(account + "  waits: as many passes are under way as passes, and for " + upstream + " passes_per_host, allow\n")
	}
}

// end takes away what is shown of a pass under way, and returns what is known of it.
func (s *Screen) end(account string) *passView {
	s.mu.Lock()
	v := s.view(account)
	delete(s.passes, account)
	s.mu.Unlock()
	if v.bar != nil {
		v.bar.Abort(true)
		v.bar.Wait()
	}
	return v
}

// Pass tells how a pass ended, known or not.
func (s *Screen) Pass(account string, end PassEnd) {
	sum, err := end.Summary, end.Err
	v := s.end(account)
	wrong := err != nil || sum.WantPerson()+sum.Doubt+sum.Failed+sum.Unsettled > 0
	if s.o.Quiet && !wrong {
		return
	}
	s.print(s.told(v, sum, err))
}

// LoginWaits tells that there was no pass over an account, for its credentials were refused a while ago: to a person each time.
func (s *Screen) LoginWaits(account string, err error, _ bool) {
	s.Pass(account, PassEnd{Err: err})
}

// Skipped tells that a row of the table of accounts is no account.
func (s *Screen) Skipped(row config.SkippedRow) {
	s.Pass(row.Name, PassEnd{Err: row})
}

// told is all that is said of a pass.
func (s *Screen) told(v *passView, sum transfer.Summary, err error) string {
	var b strings.Builder
	indent := strings.Repeat(" ", len(v.account)+2)
	said := sentence(sum, v.settled, s.o.Now())
	cut := errors.Is(err, context.Canceled)
	switch {
	case cut && said == nothingNew:
		said = "cut short"
	case cut:
		said += "  cut short"
	case err != nil && said == nothingNew:
		said = ""
	}
	if err != nil && !cut {
		failed := failedWord + ": " + strings.ReplaceAll(lines(err.Error()), "\n", "; ")
		first := s.fold(v.account+"  "+failed, len(indent))
		first = strings.Replace(first, failedWord, s.paint(sgrRed, failedWord), 1)
		b.WriteString(strings.Replace(first, v.account, s.paint(sgrBold, v.account), 1))
		if said != "" {
			b.WriteString(s.fold(indent+said, len(indent)))
		}
	} else {
		b.WriteString(strings.Replace(s.fold(v.account+"  "+said, len(indent)), v.account, s.paint(sgrBold, v.account), 1))
	}
	for _, e := range v.trouble {
		s.message(&b, indent, e)
	}
	if v.more > 0 {
		fmt.Fprintf(&b, "%sand %d more\n", indent, v.more)
	}
	if hint := Hint(err); hint != "" && !cut {
		b.WriteString(s.fold(indent+strings.ReplaceAll(lines(hint), "\n", "; "), len(indent)))
	}
	if sum.WantPerson()+sum.Doubt+sum.Failed > 0 {
		b.WriteString(indent + s.paint(sgrDim, "next: "+s.command("status", v.account)) + "\n")
	}
	return b.String()
}

// failedWord stands before why a pass failed.
const failedWord = "FAILED"

// fold has a line fit the terminal: what is too long goes on below, indented.
func (s *Screen) fold(line string, indented int) string {
	return strings.Join(folded(line, s.o.Width, indented), "\n") + "\n"
}

// message tells of one message what became of it and which it is.
func (s *Screen) message(b *strings.Builder, indent string, e transfer.Event) {
	why := reason("", e.Why)
	switch {
	case e.Kind == transfer.NotRetrieved:
		e.State, why = "not fetched", fetch.Printable(e.Err.Error())
	case e.Receipt.Reply.Code > 0:
		why = fetch.Printable(replyText(e.Receipt.Reply))
	}
	name := headingText(MaskHeading(e.Heading, s.o.Addresses))
	if name == "-" {
		name = "UID " + orDash(e.Ref.UID)
	}
	first := e.State + "  " + name
	if !e.Heading.Date.IsZero() {
		first += " of " + e.Heading.Date.Local().Format("Mon 2 Jan 15:04 MST")
	}
	width := s.o.Width - len(indent)
	for i, line := range append(wrapped(first, width), wrapped(maskWithin(why, s.o.Addresses), width-2)...) {
		if word, rest, _ := strings.Cut(line, "  "); i == 0 && word == e.State {
			line = s.paint(sgrRed, word) + "  " + rest
		}
		if i >= len(wrapped(first, width)) {
			line = "  " + line
		}
		b.WriteString(indent + line + "\n")
	}
}

// command is a command line to type.
func (s *Screen) command(words ...string) string {
	if s.o.Config != "" {
		words = append(words, "--config", s.o.Config)
	}
	text := "truehop"
	for _, w := range words {
		text += " " + quote(w)
	}
	return text
}

// paint puts a text in colour, where that is wanted.
func (s *Screen) paint(sgr, text string) string {
	if !s.o.Color {
		return text
	}
	return sgr + text + sgrReset
}

const nothingNew = "nothing new"

// sentence says what a pass did, in the order in which it wants attention last. What it settled upstream may have been delivered
// by an earlier one.
func sentence(sum transfer.Summary, settled map[string]int, now time.Time) string {
	var parts []string
	if sum.Delivered > 0 {
		parts = append(parts, fmt.Sprintf("%d delivered", sum.Delivered))
	}
	for _, became := range slices.Sorted(maps.Keys(settled)) {
		parts = append(parts, fmt.Sprintf("%d %s upstream", settled[became], became))
	}
	for _, c := range [...]struct {
		n    int
		word string
	}{
		{sum.Quarantined, "put into quarantine"}, {sum.Refused, "refused"}, {sum.PartlyRefused, "partly refused"},
		{sum.Held, "held"}, {sum.Lost, "lost"}, {sum.Doubt, "in doubt"}, {sum.Failed, "not fetched"}, {sum.Adopted, "taken as known"},
		{sum.Unsettled, "not settled upstream"}, {sum.Left, "left to the next pass"}, {sum.Asked, "asked about"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if n := sum.Deferred + sum.Waiting; n > 0 {
		until := ""
		if !sum.Next.IsZero() {
			until = " until " + hour(sum.Next, now)
		}
		parts = append(parts, fmt.Sprintf("%d deferred%s", n, until))
	}
	if len(parts) == 0 {
		return nothingNew
	}
	return strings.Join(parts, "  ")
}
