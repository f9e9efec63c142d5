package received

import (
	"fmt"
	"slices"
	"strings"
)

// A Provider is the name of a built-in policy, as configurations give it. "" is auto.
type Provider string

// auto is the policy that knows the built-in providers and infers the others.
const auto = "auto"

// Policy returns the policy of that name for an account on host. A name that is none trusts nobody.
func (p Provider) Policy(host string) Policy {
	if p == "" || p == auto {
		return Auto(host)
	}
	policy, _ := Profile(string(p))
	if slices.Contains(inferring[:], policy.Provider) {
		policy.org = registered(strings.ToLower(host))
	}
	return policy
}

// Words returns the names of all providers, sorted.
func (Provider) Words() []string { return Profiles() }

// String returns the name.
func (p Provider) String() string {
	if p == "" {
		return auto
	}
	return string(p)
}

// MarshalText returns the name.
func (p Provider) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads one of [Provider.Words].
func (p *Provider) UnmarshalText(text []byte) error {
	name := string(text)
	if !slices.Contains(p.Words(), name) {
		return fmt.Errorf("unknown value %.60q; want one of %s", name, strings.Join(p.Words(), ", "))
	}
	*p = Provider(name)
	return nil
}
