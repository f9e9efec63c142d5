// Package fakeserver is an upstream in memory: a mailbox with folders, POP3 and IMAP servers
// over it, and a certificate authority for them. The demo serves from it, and so do tests; it does
// not import testing.
package fakeserver

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Message is one message of a [Store].
type Message struct {
	UID   uint32
	UIDL  string
	Flags []string // IMAP system flags and keywords, as given
	Date  time.Time
	// Size is the number of octets that Open yields.
	Size int64
	// Open returns the octets, from the beginning.
	Open func() io.Reader
}

// Raw returns all the octets.
func (m Message) Raw() []byte {
	raw, err := io.ReadAll(m.Open())
	if err != nil {
		return nil
	}
	return raw
}

// Store is a mailbox in memory with folders. "" and any case of "INBOX" name the
// inbox, which always exists. It is safe for concurrent use; what it returns are
// copies, and octets handed to it must not be changed afterwards.
type Store struct {
	mu      sync.Mutex
	folders map[string]*folder
	changed chan struct{}
	inUse   atomic.Bool // by a session that lets no other in
}

type folder struct {
	validity uint32
	next     uint32
	messages []Message // by ascending UID
	modseq   uint64    // rises with each change of the folder
}

// NewStore returns a Store with an empty inbox of UIDVALIDITY 1.
func NewStore() *Store {
	s := &Store{folders: map[string]*folder{}, changed: make(chan struct{})}
	s.Create("")
	return s
}

func canonical(name string) string {
	if name == "" || strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// Create makes a folder with UIDVALIDITY 1 unless it is there.
func (s *Store) Create(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ensure(name)
}

func (s *Store) ensure(name string) *folder {
	f := s.folders[canonical(name)]
	if f == nil {
		f = &folder{validity: 1, next: 1, modseq: 1}
		s.folders[canonical(name)] = f
	}
	return f
}

// Folders returns the names of all folders in order.
func (s *Store) Folders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.folders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Exists tells whether the folder is there.
func (s *Store) Exists(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folders[canonical(name)] != nil
}

// Validity returns the folder's UIDVALIDITY and the next UID, 0 and 0 if it is not there.
func (s *Store) Validity(name string) (validity, next uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.folders[canonical(name)]; f != nil {
		return f.validity, f.next
	}
	return 0, 0
}

// ModSeq returns the folder's HIGHESTMODSEQ (RFC 7162 section 3.1.2.1), 0 if it is not there.
func (s *Store) ModSeq(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.folders[canonical(name)]; f != nil {
		return f.modseq
	}
	return 0
}

// SetValidity changes the folder's UIDVALIDITY, creating it if need be.
func (s *Store) SetValidity(name string, validity uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.ensure(name)
	f.validity = validity
	s.notify(f)
}

// Add appends a message, creating the folder if need be, and returns its UID.
func (s *Store) Add(name string, raw []byte) uint32 {
	return s.AddMessage(name, Message{
		Size: int64(len(raw)),
		Open: func() io.Reader { return bytes.NewReader(raw) },
	})
}

// AddMessage appends a message whose octets m.Open makes. A zero UID, an empty UIDL and
// a zero Date are filled in; a UID given must be above all that were used.
func (s *Store) AddMessage(name string, m Message) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(s.ensure(name), m)
}

func (s *Store) add(f *folder, m Message) uint32 {
	m.UID = max(m.UID, f.next)
	f.next = m.UID + 1
	if m.UIDL == "" {
		m.UIDL = fmt.Sprintf("%08x%08x", f.validity, m.UID)
	}
	if m.Date.IsZero() {
		m.Date = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	}
	m.Flags = slices.Clone(m.Flags)
	f.messages = append(f.messages, m)
	s.notify(f)
	return m.UID
}

// List returns the folder's messages by ascending UID.
func (s *Store) List(name string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folders[canonical(name)]
	if f == nil {
		return nil
	}
	list := slices.Clone(f.messages)
	for i := range list {
		list[i].Flags = slices.Clone(list[i].Flags)
	}
	return list
}

// UIDs returns the UIDs of what is left in the folder.
func (s *Store) UIDs(name string) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	uids := []uint32{}
	if f := s.folders[canonical(name)]; f != nil {
		for _, m := range f.messages {
			uids = append(uids, m.UID)
		}
	}
	return uids
}

// Get returns one message.
func (s *Store) Get(name string, uid uint32) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, i := s.find(name, uid)
	if f == nil {
		return Message{}, false
	}
	m := f.messages[i]
	m.Flags = slices.Clone(m.Flags)
	return m, true
}

func (s *Store) find(name string, uid uint32) (*folder, int) {
	f := s.folders[canonical(name)]
	if f == nil {
		return nil, 0
	}
	i, ok := slices.BinarySearchFunc(f.messages, uid, func(m Message, uid uint32) int {
		return int(int64(m.UID) - int64(uid))
	})
	if !ok {
		return nil, 0
	}
	return f, i
}

// Update changes one message in place by change, which must leave UID alone. It
// tells whether the message is there.
func (s *Store) Update(name string, uid uint32, change func(*Message)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, i := s.find(name, uid)
	if f == nil {
		return false
	}
	f.messages[i].Flags = slices.Clone(f.messages[i].Flags)
	change(&f.messages[i])
	s.notify(f)
	return true
}

// Remove expunges the messages with these UIDs and returns how many there were.
func (s *Store) Remove(name string, uids ...uint32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folders[canonical(name)]
	if f == nil {
		return 0
	}
	gone := make(map[uint32]bool, len(uids))
	for _, uid := range uids {
		gone[uid] = true
	}
	before := len(f.messages)
	f.messages = slices.DeleteFunc(f.messages, func(m Message) bool { return gone[m.UID] })
	s.notify(f)
	return before - len(f.messages)
}

// Move takes a message to another folder, where it gets a new UID. It fails if
// the message or the target folder is not there.
func (s *Store) Move(from string, uid uint32, to string) (newUID uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.folders[canonical(to)]
	f, i := s.find(from, uid)
	if target == nil || f == nil {
		return 0, false
	}
	m := f.messages[i]
	f.messages = slices.Delete(f.messages, i, i+1)
	f.modseq++
	m.UID, m.UIDL = 0, ""
	return s.add(target, m), true
}

// Changed returns a channel that is closed at the next change of anything.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Store) notify(f *folder) {
	f.modseq++
	close(s.changed)
	s.changed = make(chan struct{})
}
