package received

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// fragments are what a client may build his words of: the marks of the forms, logins, clauses, and ADDR for his own address.
var fragments = [...]string{
	"x", " ", "(", ")", " (", ") ", "[", "]", `"`, "<", ">", "@", ",", ";", "=", ":", `\`, "\t", "unknown", "localhost", "127.0.0.1", "::1",
	"ADDR", "[ADDR]", "([ADDR])", "[ADDR]:25", "198.51.100.7", "[198.51.100.7]", "bank.example", "bank.example [ADDR]", ") (bank.example [ADDR]", ")(bank.example [ADDR])(",
	"(authenticated)", "authenticated", "AUTH: LOGIN y", "(AUTH: LOGIN y)", "auth=y", "smtp-auth", "Authenticated sender: ", "user@ADDR with login", "user@[ADDR]", "with plain", "account y HELO z", "account ",
	"HELO ", "EHLO ", "(HELO ", "helo=", "ident=", "IDENT:", "port=1 ", "x) (", "from ", " from ", " by ", " mx.example.org ", " with ", " via ", " id ", " for ", "envelope-from ", "(envelope-from <",
	"local", "LMTP", "ESMTPA", "esmtpsa", "HTTP", "mapi", " network", "unix socket", "root@localhost", "_trustedrelay", "; Mon, 15 Jan 2024 10:00:00 +0000",
	"(Postfix)", "(Exim 4.96)", "(CommuniGate Pro SMTP 6)", "DragonFly", "ecelerity", "qmail", "(qmail 1 invoked by uid 1)", "Microsoft SMTP Server",
	"using TLSv1.3", "(TLS", " tls ", `(Client CN "`, "proxying for ", "claiming to be ", "may be forged", "(may be forged)",
}

// A place is a field with a zero octet where its client's words stand.
type place struct {
	field string
	plain Hop // the field with harmless words
}

// TestMixedWordsOfTheClient puts mixtures of fragments into the HELO and the sender of each field in testdata, and into the places of
// [heloFields]. None makes the client a user or the field one of another kind, and none gives another address than the writer's, or another
// name. A user who logged in may hide that: the address is his.
func TestMixedWordsOfTheClient(t *testing.T) {
	places := placesOf(t)
	if len(places) < 100 {
		t.Fatalf("only %d places", len(places))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		p := places[random.IntN(len(places))]
		var words strings.Builder
		for range 1 + random.IntN(8) {
			words.WriteString(strings.ReplaceAll(fragments[random.IntN(len(fragments))], "ADDR", p.plain.Addr.String()))
		}
		said := words.String()
		if strings.Contains(p.field, `<"`+"\x00") { // a recipient, whom the MTA has read
			said = asQuoted(said)
		}
		field := strings.ReplaceAll(p.field, "\x00", said)
		h := Parse([]byte(field))
		hidden := p.plain.Authenticated && h.Kind == SMTP
		switch {
		case h.Err != nil:
		case h.Authenticated && !p.plain.Authenticated:
			t.Errorf("%s\ntells of a login", field)
		case h.Addr.IsValid() && h.Kind != p.plain.Kind && !hidden:
			t.Errorf("%s\nis taken for %s, not %s", field, h.Kind, p.plain.Kind)
		case h.Addr.IsValid() && h.Addr != p.plain.Addr && !h.AddrUncertain:
			t.Errorf("%s\ngives %v, not %v", field, h.Addr, p.plain.Addr)
		case h.NameVerified && h.Name != p.plain.Name:
			t.Errorf("%s\ngives the name %q, not %q", field, h.Name, p.plain.Name)
		}
	}
}

func placesOf(t *testing.T) (places []place) {
	t.Helper()
	text, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		_, field, _ := strings.Cut(block, "\n")
		field, _, _ = strings.Cut(field, "\n= ")
		field = string(wire(field))
		h := Parse([]byte(field))
		if h.Err != nil || !h.Addr.IsValid() {
			continue
		}
		for _, words := range []string{h.HELO, strings.Trim(h.EnvelopeFrom, "<>")} {
			if isOnlyThere(words, field, &h) {
				places = append(places, place{strings.Replace(field, words, "\x00", 1), h})
			}
		}
	}
	for _, form := range heloFields {
		h := Parse([]byte(strings.NewReplacer("%", "x", "#", "a").Replace(form)))
		if h.Name == "" {
			h.Name = "mail.example.com" // which the form holds, where it stands in the place of the client's words
		}
		places = append(places, place{strings.NewReplacer("%", "\x00", "#", "a").Replace(form), h}, place{strings.NewReplacer("%", "x", "#", "\x00").Replace(form), h})
	}
	return places
}

// isOnlyThere reports whether words of a client's stand in one place of a field, and in nothing that the writer saw.
func isOnlyThere(words, field string, h *Hop) bool {
	_, err := netip.ParseAddr(words)
	return len(words) > 2 && err != nil && strings.Count(field, words) == 1 && !strings.Contains(h.Name, words) && !strings.Contains(h.By, words)
}
