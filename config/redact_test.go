package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const guarded = `
database: postgres://app:geheim-1@db/app
backends:
  search:
    type: store
    settings:
      address: https://elastic:geheim-2@host:9200
      password: geheim-3
      api_key: geheim-4
      Token: [geheim-5]
      tls: {client_secret: {value: geheim-6}, certificate: visible-1}
      dsn: host=x password='geheim 7' user=visible-2
      keys: visible-3
      pool: 8
`

// However a configuration is printed or logged, no secret is in it, and the rest is.
func TestConfigHidesSecrets(t *testing.T) {
	t.Parallel()
	c := parse(t, guarded, nil)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("start", "config", c, "backend", c.Backends[0])
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c)
	b := c.Backends[0]
	for _, text := range []string{
		log.String(), c.String(), b.String(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprintf("%v %+v %#v", b, b, b),
	} {
		if strings.Contains(text, "geheim") {
			t.Errorf("a secret is in %s", text)
		}
	}
	for _, want := range []string{"visible-1", "visible-2", "visible-3", "app:***@db", "elastic:***@host:9200", "8"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, log.String())
		}
	}
}

// Redact leaves nothing of a password, whatever letters it has and however it is written.
func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://h/d":                   "postgres://h/d",
		"postgres://u@h/d":                 "postgres://u@h/d",
		"postgres://u:p@h/d":               "postgres://u:***@h/d",
		"postgres://u:a/b@c:d@h/d":         "postgres://u:***@h/d",
		"host=h password=p user=u":         "host=h password=*** user=u",
		"host=h password = 'a\\'b c' x=1":  "host=h password = *** x=1",
		"postgres://h/d?password=p&user=u": "postgres://h/d?password=***&user=u",
		"failed: postgres://u:p@h/d: x":    "failed: postgres://u:***@h/d: x",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.StringMatching(`[!-~]{1,20}`).Draw(t, "password")
		if got := Redact("postgres://user:" + password + "@host/name"); got != "postgres://user:***@host/name" {
			t.Fatalf("got %s", got)
		}
	})
}

// A problem of the database never quotes its password.
func TestProblemsHidePasswords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"postgres://u:ge/heim@h/d", "postgres://u:geheim@h:x/d", "postgres://u:geheim@h/d?sslmode=geheim",
		"host=x password=geheim sslmode=geheim", "host=x password='geheim sslmode=foo", "geheim",
	} {
		_, err := Parse("c.yaml", fmt.Appendf(nil, "database: %q", text), environment(nil))
		if err == nil || strings.Contains(err.Error(), "heim") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
