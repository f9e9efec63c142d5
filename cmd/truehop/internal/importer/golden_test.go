package importer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestGolden holds what is made of a whole file of each program against testdata: NAME.in is the file, NAME.out the configuration
// and the report. With TRUEHOP_UPDATE=1 it writes them anew.
func TestGolden(t *testing.T) {
	files := map[string]string{
		"/home/me/.fetchids": "alice@example.org@pop.example.net uid 1\nalice@example.org@pop.example.net uid2\nbob@pop.example.net x\nbob@other y\nALICE@example.org@POP.example.net uid3\n",
		"/home/me/.netrc":    "machine imap.example.net login carol password from-netrc\n",
		"/home/me/.getmail/oldmail-imap.example.net-993-me-INBOX": "7/1\x001700000000\n7/2\x001700000000\n6/INBOX/9\x001700000000\nnonsense\n",
		"/home/me/.mpop_uidls/me_at_pop.example.net":              "# mpop\n 2 pop.example.net me\nA\nB\n 1 pop.example.net you\nC\n",
		"/home/me/.mbsync/:far:INBOX_:near:INBOX":                 "FarUidValidity 7\nNearUidValidity 8\nMaxPulledUid 3\n\n1 1 S\n2 0 \n3 2 FS\n0 4 \n",
		"/home/me/.mbsync/:far:Lists!go_:near:Lists!go":           "FarUidValidity 9\nNearUidValidity 8\nMaxPulledUid 5\n\n5 1 \n",
	}
	inputs, err := filepath.Glob("testdata/*.in")
	if err != nil || len(inputs) < len(Kinds()) {
		t.Fatalf("%d files, %v", len(inputs), err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(input), ".in")
		kind, _, _ := strings.Cut(name, "-")
		plan, err := Read(kind, name, text, options(files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := string(plan.YAML()) + string(plan.Report("# "))
		if _, err := config.Parse(name, plan.YAML(), config.Options{Environ: []string{"HOME=/home/me"}}); err != nil {
			t.Errorf("%s: the configuration is refused:\n%v", name, err)
		}
		golden := strings.TrimSuffix(input, ".in") + ".out"
		if os.Getenv("TRUEHOP_UPDATE") == "1" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what %s says:\n%s", name, golden, got)
		}
	}
}

// TestKnownMessages: of each record of what was fetched, just the messages of the account are taken.
func TestKnownMessages(t *testing.T) {
	if got := strings.Join(fetchids([]byte("a b@h 1\na@h 2\nb@a@h 3\na@h  4 \nA@H 5\na@h\na@h \na@hx 6\n"), "a@h"), ","); got != "2,4,5" {
		t.Errorf("fetchmail: %s", got)
	}
	if got := strings.Join(mpopUIDs([]byte("# x\n 1 h u\na\n 2 h v w\nb\nc\n 1 g u\nd\n"), "h", "v w"), ","); got != "b,c" {
		t.Errorf("mpop: %s", got)
	}
	old := oldIMAP("F", []byte("2/10\x001\n1/7\x001\n2/F/11\x001\n2/x\x001\nno\n"))
	if len(old) != 2 || old[0].Validity != 1 || old[1].Validity != 2 || strings.Join(old[1].UIDs, ",") != "10,11" {
		t.Errorf("getmail: %v", old)
	}
	state := []byte("NearUidValidity 5\nFarUidValidity 7\nMaxPulledUid 3\n\n1 11 S\n0 12 \n3 0 \n")
	for isFar, want := range map[bool]string{true: "7:1,3", false: "5:11,12"} {
		k, err := mbsyncState("f", state, isFar)
		if got := string(rune('0'+k.Validity)) + ":" + strings.Join(k.UIDs, ","); err != nil || got != want {
			t.Errorf("mbsync, far %v: %s, %v, want %s", isFar, got, err, want)
		}
	}
	if _, err := mbsyncState("f", []byte("nonsense\n"), true); err == nil {
		t.Error("mbsync: a file that is none of its states is taken")
	}
	for text, want := range map[string]string{
		"machine h login u password p": "p", "machine h\n login u\n password p\n": "p", "machine g login u password q\nmachine h login v password r\nmachine h login u password p": "p",
		"macdef x\nmachine h login u password q\n\nmachine h login u password p": "p", "default login u password p": "", "machine h login u account a password \"p\"": "p", "machine": "",
	} {
		if got := netrcPassword(text, "h", "u"); got != want {
			t.Errorf("netrc %q: %q, want %q", text, got, want)
		}
	}
}

// FuzzRead: whatever stands in a file or a record of another program, reading it ends, and what comes of it can be printed.
func FuzzRead(f *testing.F) {
	for _, form := range forms() {
		f.Add(uint8(0), form.text, "u@h x\n")
	}
	inputs, err := filepath.Glob("testdata/*.in")
	if err != nil {
		f.Fatal(err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		for kind := range Kinds() {
			f.Add(uint8(kind), string(text), "FarUidValidity 7\n\n1 1 S\n7/1\x001\n")
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text, state string) {
		o := options(nil)
		o.ReadFile = func(string) ([]byte, error) { return []byte(state), nil }
		plan, err := Read(Kinds()[int(kind)%len(Kinds())], "rc", []byte(text), o)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(plan.YAML()) + string(plan.Report(""))) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < 0x20 || r == 0x7f }) {
				t.Errorf("a line that cannot be shown: %q", line)
			}
		}
	})
}
