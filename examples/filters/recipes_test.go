//go:build linux

package filters

import (
	"regexp"
)

func recipes() []recipe {
	spf := recipe{
		dir: "spf", tables: []string{"spf/truehop_spf"}, further: "FIU", required: true,
		before: "all delivered", after: "A, C, D, F, I delivered; B refused 550; U held 550", findings: receivedSPF,
	}
	python, perl := spf, spf
	python.filter, python.programs = "policyd-spf (Python)", []string{"policyd-spf"}
	python.start = func(w *world) { w.install("spf/policyd-spf.conf", "/etc/postfix-policyd-spf-python/policyd-spf.conf") }
	perl.filter, perl.programs, perl.variant = "policyd-spf (Perl)", []string{"postfix-policyd-spf-perl"}, "perl"
	return []recipe{
		{
			dir: "access-rules", filter: "Postfix's own rules: names, a block list, tables of clients and HELO, our own domain as sender",
			tables: []string{"access-rules/truehop_clients", "access-rules/truehop_helo", "access-rules/truehop_senders"}, further: "EHIU",
			before: "all delivered", after: "A, B, E, H refused 554; C, I, U delivered; D refused 550",
		},
		python,
		perl,
	}
}

// receivedSPF holds what the filter wrote on top of delivered mail: the client that it judged.
func receivedSPF(w *world, o outcome) {
	client := regexp.MustCompile(`(?m)^Received-SPF: .*(\n[ \t].*)*client-ip=192\.0\.2\.25\b`)
	if got, want := client.MatchString(o.delivered["C"]), o.by == "truehop"; got != want {
		w.t.Errorf("by %s: Received-SPF with the client of C: %v\n%s", o.by, got, o.delivered["C"])
	}
}
