package config

import (
	"strings"
	"testing"
)

// TestEditSettings: values of the command line become what a row has; a key that cannot be there is refused with what to do.
func TestEditSettings(t *testing.T) {
	for _, c := range []struct {
		name, before string
		set, unset   []string
		want, err    string
	}{
		{"a new row", "", []string{"host=imap.example.com", "user=joe@example.com"}, nil, `{"host":"imap.example.com","user":"joe@example.com"}`, ""},
		{"each type as in a file", "", []string{"port=1143", "idle=false", "timeout=1m", "max_size=1MiB", "on_delivered=move:Done", "folders=INBOX, Lists/*", `schedule=*/5 * * * *`, "user=a=b"}, nil,
			`{"folders":["INBOX","Lists/*"],"idle":false,"max_size":"1MiB","on_delivered":"move:Done","port":1143,"schedule":"*/5 * * * *","timeout":"1m","user":"a=b"}`, ""},
		{"what was there stays", `{"host": "a.example", "hops": 3}`, []string{"host=b.example"}, nil, `{"hops":3,"host":"b.example"}`, ""},
		{"what is taken out", `{"host": "a.example", "port": 993}`, nil, []string{"port"}, `{"host":"a.example"}`, ""},
		{"below another key", `{"oauth": {"tenant": "a.example", "provider": "microsoft"}}`, []string{"oauth.tenant=b.example"}, []string{"oauth.provider"}, `{"oauth":{"tenant":"b.example"}}`, ""},
		{"a password", "", []string{"password=" + canary}, nil, "", "password: is a password in the clear"},
		{"a file", "", []string{"password_file=/etc/shadow"}, nil, "", "password_file: names a file of this host"},
		{"a program", "", []string{"connect_command=/bin/sh"}, nil, "", "connect_command: starts a program"},
		{"an unknown key", "", []string{"hsot=x"}, nil, "", `hsot: unknown key; did you mean "host"?`},
		{"an unknown key to take out", "", nil, []string{"hsot"}, "", `hsot: unknown key`},
		{"a wrong value", "", []string{"port=many"}, nil, "", "port: want a whole number"},
		{"no value", "", []string{"port"}, nil, "", `want KEY=VALUE, got "port"`},
		{"keys below a value", "", []string{"host.x=1"}, nil, "", "host.x: unknown key; nothing stands below host"},
		{"a key that holds keys", "", []string{"oauth=x"}, nil, "", "oauth: holds several keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := EditSettings([]byte(c.before), c.set, c.unset)
			if c.err == "" {
				if err != nil || string(got) != c.want {
					t.Errorf("%s, error %v; want %s", got, err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), canary) {
				t.Errorf("error %v, want %s", err, c.err)
			}
		})
	}
}
