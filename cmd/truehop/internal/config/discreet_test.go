package config

import (
	"strings"
	"testing"
)

// TestErrorsShowNoPassword: whatever a person did wrong with a value that may be a password or hold one, what is said of it does
// not repeat it, and is still of use.
func TestErrorsShowNoPassword(t *testing.T) {
	account := func(keys string) string {
		return "accounts: {a: {user: joe, recipients: [joe@example.org], " + keys + "}}"
	}
	oauth := func(keys string) string {
		return account("host: imap.example.net, oauth: {provider: other, client_id: x, " + keys + "}")
	}
	const noAddress, noKey = "want an address of the form https://HOST/PATH", "accounts.a.password: is followed by something else than a colon and a blank; write password: VALUE"
	for _, c := range []struct{ name, data, says string }{
		{"a database in the words of libpq", "state: host=db user=truehop password=" + canary + " dbname=truehop", "holds a password, which everybody sees who is shown the configuration; use state_password_file, and name the database as postgres://"},
		{"a database under a misspelt scheme", "state: postgre://truehop:" + canary + "@db.example.net/truehop", "use state_password_file, and name the database as postgres://"},
		{"a database without a scheme", "state: truehop:" + canary + "@db.example.net/truehop", "use state_password_file, and name"},
		{"a database that is no address", "state: postgres://truehop:" + canary + "%zz@db.example.net/truehop", "use state_password_file"},
		{"a password in the place of a user", "state: postgre://" + canary + "@db.example.net/truehop", "want postgres://USER@HOST/DATABASE or service=NAME; a directory is state_dir"},
		{"a table in the words of libpq", "accounts_from: host=db user=truehop password=" + canary, "keep it in ~/.pgpass or a service file, and name the database as"},
		{"a table under a misspelt scheme", "accounts_from: postgre://truehop:" + canary + "@db.example.net/truehop", "keep it in ~/.pgpass"},
		{"a command for the database without its path", "state: service=x\nstate_password_command: [\"echo " + canary + "\"]", "state_password_command: name the program by its full path"},
		{"a password for the database where its file belongs", "state: service=x\nstate_password_file: " + canary, "state_password_file: want an absolute path (~"},
		{"a password where its file belongs", account("password_file: " + canary), "password_file: want an absolute path (~"},
		{"a password where its credential belongs", account("password_credential: ." + canary), "password_credential: is no name of a credential; that is the part before the colon"},
		{"a password of a proxy where its file belongs", account("proxy: \"socks5://u@proxy.example.net:1080\", proxy_password_file: " + canary), "proxy_password_file: want an absolute path (~"},
		{"a secret where its file belongs", oauth("client_secret_file: " + canary), "client_secret_file: want an absolute path (~"},
		{"a key where its file belongs", "accounts_from: service=x\naccounts_key_file: AGE-SECRET-KEY-" + canary, "accounts_key_file: want an absolute path (~"},
		{"a command that is no list", account("password_command: /bin/echo " + canary), "want a list, got a single value; write [/usr/bin/pass, show, mail]"},
		{"a command for a token that is no list", account("token_command: /bin/echo " + canary), "write [/usr/bin/pass, show, mail]"},
		{"a command for a connection that is no list", account("connect_command: /bin/nc " + canary), "write [/usr/bin/pass, show, mail]"},
		{"an argument with a control character", account("password_command: [/bin/echo, \"" + canary + "\\a\"]"), "password_command[1]: holds a control character"},
		{"a login in the address of the MTA", "inject: {address: \"smtp://u:" + canary + "@mx.example.org:25\"}", "inject.address: want unix:/PATH or HOST:PORT"},
		{"a login before the name of the MTA", "inject: {address: \"u:" + canary + "@mx.example.org\"}", "inject.address: want unix:/PATH or HOST:PORT"},
		{"a user before the name of the MTA", "inject: {address: \"" + canary + "@mx.example.org:25\"}", "inject.address: want unix:/PATH or HOST:PORT"},
		{"a login in the address of the resolver", "resolver: {server: \"dns://u:" + canary + "@192.0.2.1\"}", "want the address of a name server, such as"},
		{"a login in the address for a monitor", "metrics: http://u:" + canary + "@127.0.0.1:9917", "metrics: want unix:/PATH or HOST:PORT"},
		{"a login in the address of a proxy", account("proxy: \"socks5://u:" + canary + "@proxy.example.net:1080\""), "put it into a file and name that in proxy_password_file"},
		{"a login in the address of the upstream", account("host: \"u:" + canary + "@imap.example.net\""), "want the host alone"},
		{"a login in an address of OAuth", oauth("token_url: \"https://u:" + canary + "@login.example.net\""), noAddress},
		{"a login in an address of OAuth that is none", oauth("token_url: \"https://u:" + canary + "@login.example.net:x/\""), noAddress},
		{"a login in an address of OAuth without a scheme", oauth("issuer: \"u:" + canary + "@login.example.net\""), noAddress},
		{"a secret in the place of a user", oauth("issuer: \"https://" + canary + "@login.example.net\""), noAddress},
		{"no blank behind the colon", account("password:" + canary), noKey},
		{"no blank behind the colon, and quotes", account("password:\"" + canary + "\""), noKey},
		{"no blank behind the colon, twice", account("password:" + canary + ", password:" + canary), noKey},
		{"no blank behind the colon, in a target", "inject: {password:" + canary + "}", "inject.password: is followed by something else"},
		{"no blank behind the colon, beside targets", "inject: {main: {address: \"unix:/x\"}, password:" + canary + "}", "inject: this is no name for a target"},
		{"an equals sign", account("password = " + canary), noKey},
		{"no colon", account("password " + canary), noKey},
		{"a password that looks like a tag", account("password: !" + canary), "put the value in quotes"},
		{"a password that looks like a tag of YAML", account("password: !!" + canary), "put the value in quotes"},
		{"a password that looks like a tag with a handle", account("password: !x!" + canary), "not YAML"},
		{"a password that looks like an alias", account("password: *" + canary), "an asterisk begins an alias, which is not read here; put the value in quotes"},
		{"a password that looks like an anchor", account("password: &" + canary), "anchors and aliases are not read here"},
		{"a password that looks like a directive", account("password: %" + canary), "not YAML"},
		{"a quotation mark too many", account("password: \"x\"" + canary + "\""), "not YAML"},
		{"a colon without a blank on a line of its own", "accounts:\n  a:\n    password:" + canary + "\n    host: x\n", "a colon where none can stand"},
	} {
		_, err := Parse("x.yaml", []byte(c.data), options())
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q", c.name, err, c.says)
		}
	}
}

// TestErrorsOfTheEnvironmentShowNoPassword: nor do those about variables and about what a command line sets.
func TestErrorsOfTheEnvironmentShowNoPassword(t *testing.T) {
	for key, value := range map[string]string{"PASSWORD_COMMAND": "/bin/echo," + canary + "\a", "PASSWORD_FILE": canary, "PASSWORD": canary, "HOST": "u:" + canary + "@imap.example.net"} {
		_, err := Parse("x.yaml", one(""), options("TRUEHOP_ACCOUNTS__WORK__"+key+"="+value))
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "accounts.work."+strings.ToLower(key)+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := EditSettings(nil, []string{"password:" + canary}, nil); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("in a row: %v", err)
	}
}

// TestErrorsShowOtherValues: what can hold no secret is repeated, so that it is found.
func TestErrorsShowOtherValues(t *testing.T) {
	for data, says := range map[string]string{
		"state: mysql://db.example.net/truehop": `got "mysql://db.example.net/truehop"; a directory is state_dir`,
		"spool_dir: ~/spool":                    `want an absolute path, got "~/spool"`,
		"inject: {address: mx.example.org}":     `want unix:/PATH or HOST:PORT, got "mx.example.org"`,
	} {
		if _, err := Parse("x.yaml", []byte(data), options()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", data, err, says)
		}
	}
}
