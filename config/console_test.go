package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The console's address and credentials arrive, from the file, the environment and references.
func TestConsole(t *testing.T) {
	t.Parallel()
	env := environment(map[string]string{"DATABASE_URL": "host=x", "WORD": "geheim", "OUTFLOW_CONSOLE_LISTEN": "0.0.0.0:80"})
	c := parse(t, "console: {listen: 'off', user: ops, password: '${WORD}', token: abc}", env)
	if diff := cmp.Diff(Console{Listen: "0.0.0.0:80", User: "ops", Password: "geheim", Token: "abc"}, c.Console); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{fmt.Sprint(c.Console), fmt.Sprintf("%#v", c.Console), fmt.Sprintf("%#v", c), fmt.Sprint(c)} {
		if strings.Contains(text, "geheim") || strings.Contains(text, "abc") {
			t.Errorf("%s shows a secret", text)
		}
	}
	if c := parse(t, "console: {listen: off}", environment(map[string]string{"DATABASE_URL": "host=x"})); !c.Console.Off() {
		t.Errorf("off is %v", c.Console)
	}
}

// A console that would let everybody in, half of its credentials, and what is no address are problems.
func TestProblemsOfConsole(t *testing.T) {
	t.Parallel()
	for _, b := range []broken{
		{"no address", "console: {listen: here}", []string{`c.yaml:1:19: console.listen: want host:port such as 127.0.0.1:8317, or off, have "here"`}},
		{"open to all", "console: {listen: ':80'}", []string{`c.yaml:1:19: console.listen: others reach :80: give the console a user and a password, or a token`}},
		{"no password", "console: {user: ops}", []string{`c.yaml:1:17: console.user: the password of the user is missing`}},
		{"no user", "console: {password: '${WORD}'}", []string{`c.yaml:1:21: console.password: the user of the password is missing`}},
		{"unknown", "console: {port: 1}", []string{`c.yaml:1:11: console: unknown field "port": want listen, password, token, user`}},
	} {
		b.check(t)
	}
}
