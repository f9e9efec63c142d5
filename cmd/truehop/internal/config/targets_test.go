package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

const someTargets = `inject:
  main: {address: "unix:/run/a", plain: "unix:/run/p"}
  plain: {address: "unix:/run/b", xclient: off}
  other-host: {address: "mx.example.org:25", tls: starttls, hello: us.example.org}
`

// summary is each target with its address, then each account with its target.
func summary(c *Config) string {
	var b strings.Builder
	for _, t := range c.Targets() {
		fmt.Fprintf(&b, "%s=%s ", t.Section(), t.Address)
	}
	for _, name := range c.Names() {
		fmt.Fprintf(&b, "%s:%s ", name, c.Target(c.Accounts[name]).Name)
	}
	return strings.TrimSpace(b.String())
}

// The keys of one target stand directly below inject, those of several below their names; an account chooses.
func TestTargetsByNameAndWithout(t *testing.T) {
	for _, tc := range []struct{ name, top, account, defaults, env, want string }{
		{"none", "", "", "", "", "inject=unix:/var/spool/postfix/public/truehop work:main"},
		{"one without a name", "inject: {address: \"unix:/run/a\"}", "", "", "", "inject=unix:/run/a work:main"},
		{"one without a name, chosen", "inject: {address: \"unix:/run/a\"}", ", inject: main", "", "", "inject=unix:/run/a work:main"},
		{"no keys", "inject: {}", "", "", "", "inject=unix:/var/spool/postfix/public/truehop work:main"},
		{"one with a name", "inject: {only: {address: \"unix:/run/a\"}}", "", "", "", "inject.only=unix:/run/a work:only"},
		{"several", someTargets, "", "", "", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/b work:main"},
		{"called as a key", someTargets, ", inject: plain", "", "", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/b work:plain"},
		{"defaults", someTargets, "", "defaults: {inject: plain}", "", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/b work:plain"},
		{"defaults and its own", someTargets, ", inject: other-host", "defaults: {inject: plain}", "", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/b work:other-host"},
		{"environment without a name", "", "", "", "TRUEHOP_INJECT__ADDRESS=unix:/run/e", "inject=unix:/run/e work:main"},
		{"environment with a name", "", "", "", "TRUEHOP_INJECT__FAR__ADDRESS=unix:/run/e", "inject.far=unix:/run/e work:far"},
		{"environment over the file", someTargets, "", "", "TRUEHOP_INJECT__PLAIN__ADDRESS=unix:/run/e", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/e work:main"},
		{"environment chooses", someTargets, "", "", "TRUEHOP_ACCOUNTS__WORK__INJECT=plain", "inject.main=unix:/run/a inject.other-host=mx.example.org:25 inject.plain=unix:/run/b work:plain"},
		{"the key plain from the environment", "", "", "", "TRUEHOP_INJECT__PLAIN=unix:/run/e", "inject=unix:/var/spool/postfix/public/truehop work:main"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustParse(t, slices.Concat([]byte(tc.top+"\n"+tc.defaults+"\n"), one(tc.account)), options(tc.env))
			if got := summary(c); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A target has nothing of another: what it does not say is as built in.
func TestTargetsShareNoKeys(t *testing.T) {
	c := mustParse(t, append([]byte(someTargets), one("")...), options())
	if other, plain := c.Inject["other-host"], c.Inject["plain"]; other.Plain != (Endpoint{}) || plain.Hello != "" || plain.TLS != NoTLS || plain.Connections != inject.Adaptive || c.Inject["main"].XClient.String() != "required" {
		t.Errorf("%+v\n%+v", other, plain)
	}
}

// An error in a target, and in the choice of one, names it and its place.
func TestTargetErrorsNameTheTarget(t *testing.T) {
	for _, tc := range []struct{ name, top, account, env, want string }{
		{"both forms", "inject: {address: \"unix:/a\", far: {address: \"unix:/b\"}}", ", inject: far", "", `truehop.yaml:1:19: inject.address: stands beside targets with names; put it below the name of the target that it is for`},
		{"a list beside names", "inject: {never_present: [192.0.2.0/24], far: {address: \"unix:/b\"}}", "", "", `truehop.yaml:1:25: inject.never_present: stands beside targets with names; put it below the name of the target that it is for`},
		{"both forms, by the environment", "inject: {far: {address: \"unix:/b\"}}", ", inject: far", "TRUEHOP_INJECT__ADDRESS=unix:/a", `environment TRUEHOP_INJECT__ADDRESS: inject.address: stands beside targets with names; put it below the name of the target that it is for`},
		{"a key", "inject: {far: {addres: \"unix:/b\"}}", "", "", `truehop.yaml:1:16: inject.far.addres: unknown key; did you mean "address"?`},
		{"a value", "inject: {far: {address: \"/b\"}}", "", "", `truehop.yaml:1:25: inject.far.address: write unix:/b for a UNIX socket`},
		{"a contradiction", "inject: {far: {address: \"unix:/b\", tls: starttls}}", "", "", `truehop.yaml:1:41: inject.far.tls: starttls makes no sense on a UNIX socket; remove it, or give address as HOST:PORT`},
		{"a password", "inject: {far: {address: \"unix:/b\", user: me}}", "", "", `truehop.yaml:1:10: inject.far.password_file: there is no password; give one of password_file, password_command, password_credential, password`},
		{"by the environment", "", "", "TRUEHOP_INJECT__FAR__TLS=maybe", `environment TRUEHOP_INJECT__FAR__TLS: inject.far.tls: unknown value "maybe"; want one of implicit, starttls, none`},
		{"a name", "inject: {Far: {address: \"unix:/b\"}}", "", "", `truehop.yaml:1:10: inject: "Far" is no name for a target; use a-z, 0-9, dot, hyphen and underscore, 63 at most, and begin with a letter or digit`},
		{"no keys", "inject: {near: {address: \"unix:/a\"}, far: }", ", inject: near", "", `truehop.yaml:1:38: inject.far: has no keys below it; give at least its address`},
		{"an unknown choice", "inject: {near: {address: \"unix:/a\"}, far: {address: \"unix:/b\"}}", ", inject: fra", "", `truehop.yaml:3:103: accounts.work.inject: there is no target "fra" below inject; there are: far, near`},
		{"no choice", "inject: {near: {address: \"unix:/a\"}, far: {address: \"unix:/b\"}}", "", "", `truehop.yaml:3:3: accounts.work.inject: is missing: there are several targets below inject, and none is called main; choose one of far, near`},
		{"keys in place of a choice", "", ", inject: {address: \"unix:/a\"}", "", `truehop.yaml:3:103: accounts.work.inject: want text, got keys and values`},
		{"no listener for what is not judged", someTargets, ", inject: plain, on_unknown_client: plain", "", `truehop.yaml:7:129: accounts.work.on_unknown_client: plain needs a listener that asks no rules about clients; set inject.plain.plain`},
		{"no listener for an account without a filter", "inject: {address: \"unix:/a\"}", ", filter: false", "", `truehop.yaml:3:103: accounts.work.filter: false needs a listener that asks no rules about clients; set inject.plain`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("truehop.yaml", append([]byte(tc.top+"\n"), one(tc.account)...), options(tc.env))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// What is unwise is said of the target that it is about, and so is that no account needs it.
func TestTargetWarningsNameTheTarget(t *testing.T) {
	c := mustParse(t, append([]byte(someTargets), one("")...), options())
	for _, want := range []string{"inject.plain.xclient: off", "inject.plain: no account chooses this target", "inject.other-host: no account chooses this target"} {
		if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q is not in %q", want, c.Warnings)
		}
	}
	if slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, "inject.main") }) {
		t.Errorf("warnings of main: %q", c.Warnings)
	}
}
