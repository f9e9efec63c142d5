package fakeserver

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// folders serves the commands about folders other than the selected one.
func (s *imapSession) folders(verb string, args []string) {
	switch verb {
	case "LIST":
		if len(args) != 2 {
			s.done("BAD arguments")
			return
		}
		for _, name := range s.Store.Folders() {
			if pattern := args[1]; pattern == "*" || pattern == "%" || strings.EqualFold(pattern, name) {
				s.say(`* LIST (%s) "/" "%s"`, s.Attributes[name], strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name))
			}
		}
		s.done("OK")
	case "CREATE": // RFC 9051 section 6.3.4
		if len(args) != 1 || s.Store.Exists(args[0]) {
			s.done("NO [ALREADYEXISTS] cannot be created")
			return
		}
		s.Store.Create(args[0])
		s.done("OK")
	case "STATUS": // of the number of messages, RFC 9051 section 6.3.11
		if len(args) < 2 || !s.Store.Exists(args[0]) {
			s.done("NO [NONEXISTENT] no such folder")
			return
		}
		s.say("* STATUS %q (MESSAGES %d)", args[0], len(s.Store.UIDs(args[0])))
		s.done("OK")
	}
}

func (s *imapSession) selectFolder(args []string, readOnly bool) {
	s.folder, s.uids = "", nil
	if len(args) != 1 || !s.Store.Exists(args[0]) {
		s.done("NO [NONEXISTENT] no such folder")
		return
	}
	s.folder, s.readOnly = canonical(args[0]), readOnly
	s.uids = s.Store.UIDs(s.folder)
	validity, next := s.Store.Validity(s.folder)
	s.say(`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`)
	keywords := ` \*`
	if s.NoKeywords {
		keywords = ""
	}
	s.say(`* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft%s)] kept`, keywords)
	s.say("* %d EXISTS", len(s.uids))
	s.say("* 0 RECENT")
	if validity != 0 {
		s.say("* OK [UIDVALIDITY %d] valid", validity)
	}
	s.counter("UIDNEXT", uint64(next))
	if slices.Contains(s.Capabilities, "CONDSTORE") {
		s.counter("HIGHESTMODSEQ", s.Store.ModSeq(s.folder))
	}
	if readOnly {
		s.done("OK [READ-ONLY] examined")
		return
	}
	s.done("OK [READ-WRITE] selected")
}

// counter says a number that rises with the folder.
func (s *imapSession) counter(name string, value uint64) {
	if s.Counter != nil {
		value = s.Counter(name, value)
	}
	if value != 0 {
		s.say("* OK [%s %d] so far", name, value)
	}
}

// sync tells what happened to the folder (RFC 3501 section 7.3.1, 7.4.1).
func (s *imapSession) sync() {
	if s.folder == "" {
		return
	}
	now := s.Store.UIDs(s.folder)
	var vanished []uint32
	for n := len(s.uids) - 1; n >= 0; n-- {
		if _, found := slices.BinarySearch(now, s.uids[n]); found {
			continue
		}
		if s.Vanished {
			vanished = append(vanished, s.uids[n])
		} else {
			s.say("* %d EXPUNGE", n+1)
		}
		s.uids = slices.Delete(s.uids, n, n+1)
	}
	if len(vanished) > 0 {
		slices.Reverse(vanished)
		s.say("* VANISHED %s", compress(vanished))
	}
	if len(now) > len(s.uids) {
		s.uids = now
		s.say("* %d EXISTS", len(now))
	}
}

// selected serves the commands that need a folder.
func (s *imapSession) selected(verb, args string) {
	set, rest, _ := strings.Cut(args, " ")
	switch {
	case verb == "UID SEARCH":
		s.search(args)
	case verb == "UID FETCH":
		s.fetch(s.pick(set), rest)
	case verb == "UID STORE" && !s.readOnly:
		s.store(s.pick(set), rest)
	case verb == "EXPUNGE" && !s.readOnly:
		s.expunge(s.uids)
	case verb == "UID EXPUNGE" && s.has("UIDPLUS") && !s.readOnly:
		s.expunge(s.pick(set))
	case verb == "UID COPY", verb == "UID MOVE" && s.has("MOVE") && !s.readOnly:
		s.transfer(s.pick(set), words(rest), verb == "UID MOVE")
	case verb == "UNSELECT" && s.has("UNSELECT"):
		s.folder = ""
		s.done("OK")
	case verb == "CLOSE":
		if !s.readOnly {
			s.Store.Remove(s.folder, s.marked(s.uids)...)
		}
		s.folder = ""
		s.done("OK")
	case s.readOnly:
		s.done("NO read-only")
	default:
		s.done("BAD unknown command")
	}
}

// pick returns those of the folder's UIDs that a set names, in order.
func (s *imapSession) pick(set string) []uint32 {
	var picked []uint32
	for part := range strings.SplitSeq(set, ",") {
		first, last, isRange := strings.Cut(part, ":")
		low, high := s.uid(first), s.uid(first)
		if isRange {
			high = s.uid(last)
		}
		low, high = min(low, high), max(low, high)
		begin, _ := slices.BinarySearch(s.uids, low)
		for _, uid := range s.uids[begin:] {
			if uid > high {
				break
			}
			picked = append(picked, uid)
		}
	}
	slices.Sort(picked)
	return slices.Compact(picked)
}

// uid reads one UID; "*" is the highest in the folder.
func (s *imapSession) uid(text string) uint32 {
	if text == "*" {
		return append([]uint32{0}, s.uids...)[len(s.uids)]
	}
	n, _ := strconv.ParseUint(text, 10, 32)
	return uint32(n)
}

// marked returns those that are to be expunged.
func (s *imapSession) marked(uids []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool {
		m, ok := s.Store.Get(s.folder, uid)
		return !ok || !slices.ContainsFunc(m.Flags, func(f string) bool { return strings.EqualFold(f, `\Deleted`) })
	})
}

// compress writes ascending UIDs as a set.
func compress(uids []uint32) string {
	var b strings.Builder
	for len(uids) > 0 {
		n := 1
		for n < len(uids) && uids[n] == uids[n-1]+1 {
			n++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, uids[0])
		if n > 1 {
			fmt.Fprintf(&b, ":%d", uids[n-1])
		}
		uids = uids[n:]
	}
	return b.String()
}

func (s *imapSession) fetch(uids []uint32, items string) {
	wanted := strings.Fields(strings.ToUpper(strings.Trim(items, "()")))
	for _, uid := range uids {
		m, ok := s.Store.Get(s.folder, uid)
		n, listed := slices.BinarySearch(s.uids, uid)
		if !ok || !listed {
			continue // expunged by another session
		}
		s.write("* " + strconv.Itoa(n+1) + " FETCH (")
		for i, item := range wanted {
			if i > 0 {
				s.write(" ")
			}
			s.item(m, item)
		}
		s.write(")\r\n")
	}
	s.sync()
	s.done("OK")
}

func (s *imapSession) item(m Message, name string) {
	switch name {
	case "UID":
		s.write("UID " + strconv.FormatUint(uint64(m.UID), 10))
	case "RFC822.SIZE":
		s.write("RFC822.SIZE " + strconv.FormatInt(m.Size, 10))
	case "FLAGS":
		s.write("FLAGS (" + strings.Join(m.Flags, " ") + ")")
	case "INTERNALDATE":
		s.write("INTERNALDATE " + m.Date.Format(`"_2-Jan-2006 15:04:05 -0700"`))
	case "BODY.PEEK[HEADER]", "BODY[HEADER]":
		header := m.Raw()
		if i := bytes.Index(header, []byte("\r\n\r\n")); i >= 0 {
			header = header[:i+4]
		}
		s.write("BODY[HEADER] {" + strconv.Itoa(len(header)) + "}\r\n" + string(header))
	case "BODY[]", "BODY.PEEK[]":
		if name == "BODY[]" {
			s.mark(m.UID, '+', []string{`\Seen`})
		}
		s.write("BODY[] ")
		if s.Body != nil {
			if raw, ok := s.Body(m); ok {
				s.write(raw)
				return
			}
		}
		s.write("{" + strconv.FormatInt(m.Size, 10) + "}\r\n")
		_, _ = io.Copy(s.w, m.Open()) // a client that went away shows at the next read
	default:
		s.write(name + " NIL")
	}
}

func (s *imapSession) store(uids []uint32, args string) {
	what, list, _ := strings.Cut(args, " ")
	what, silent := strings.CutSuffix(strings.ToUpper(what), ".SILENT")
	flags := strings.Fields(strings.Trim(list, "()"))
	if s.NoKeywords {
		flags = slices.DeleteFunc(flags, func(f string) bool { return f[0] != '\\' })
	}
	op := byte(0)
	switch what {
	case "+FLAGS", "-FLAGS":
		op = what[0]
	case "FLAGS":
	default:
		s.done("BAD arguments")
		return
	}
	for _, uid := range uids {
		s.mark(uid, op, flags)
		m, ok := s.Store.Get(s.folder, uid)
		if n, listed := slices.BinarySearch(s.uids, uid); ok && listed && !silent {
			s.say("* %d FETCH (UID %d FLAGS (%s))", n+1, uid, strings.Join(m.Flags, " "))
		}
	}
	if s.AutoExpunge {
		s.Store.Remove(s.folder, s.marked(uids)...)
	}
	s.sync()
	s.done("OK")
}

// mark adds, removes or replaces flags.
func (s *imapSession) mark(uid uint32, op byte, flags []string) {
	s.Store.Update(s.folder, uid, func(m *Message) {
		if op == 0 {
			m.Flags = slices.Clone(flags)
			return
		}
		m.Flags = slices.DeleteFunc(m.Flags, func(old string) bool {
			return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, old) })
		})
		if op == '+' {
			m.Flags = append(m.Flags, flags...)
		}
	})
}

func (s *imapSession) expunge(uids []uint32) {
	s.Store.Remove(s.folder, s.marked(s.unspared(uids))...)
	if !s.LateExpunge {
		s.sync()
	}
	s.done("OK")
}

func (s *imapSession) unspared(uids []uint32) []uint32 {
	if s.Spare == nil {
		return uids
	}
	return slices.DeleteFunc(slices.Clone(uids), s.Spare)
}

func (s *imapSession) transfer(uids []uint32, target []string, move bool) {
	if len(target) != 1 || !s.Store.Exists(target[0]) {
		s.done("NO [TRYCREATE] no such folder")
		return
	}
	var from, to []uint32
	for _, uid := range s.unspared(uids) {
		m, ok := s.Store.Get(s.folder, uid)
		if !ok {
			continue
		}
		if move {
			s.Store.Remove(s.folder, uid)
		}
		m.UID, m.UIDL = 0, ""
		from, to = append(from, uid), append(to, s.Store.AddMessage(target[0], m))
	}
	code := ""
	if validity, _ := s.Store.Validity(target[0]); len(from) > 0 && s.has("UIDPLUS") {
		code = fmt.Sprintf("[COPYUID %d %s %s] ", validity, compress(from), compress(to))
	}
	if move && code != "" {
		s.say("* OK %smoved", code) // RFC 6851 section 4.3
		code = ""
	}
	if !move || !s.LateExpunge {
		s.sync()
	}
	s.done("OK " + code + "done")
}
