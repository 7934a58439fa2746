package config

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.yaml.in/yaml/v4"
)

// database reads where PostgreSQL is. Its problems never quote the value, which may hold a password.
func (r *reader) database(to *string) field {
	const want = "a URL such as postgres://user@host:5432/name, or keyword=value pairs"
	return func(n *yaml.Node, path string) {
		text, _, ok := r.scalar(n, path, want)
		if !ok {
			return
		}
		*to = text
		if text == "" {
			return
		}
		if reason := unusable(text); reason != "" {
			r.fail(n, path, "want %s: %s", want, reason)
		}
	}
}

// anywhere finds a database when the configuration names none: DATABASE_URL, or what psql would use.
func (r *reader) anywhere(c *Config) {
	if c.Database != "" || len(r.problems) > 0 {
		return
	}
	if text, _ := r.env("DATABASE_URL"); text != "" {
		r.database(&c.Database)(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, "DATABASE_URL")
		return
	}
	for _, name := range []string{"PGHOST", "PGSERVICE", "PGDATABASE"} {
		if text, _ := r.env(name); text != "" {
			return
		}
	}
	r.problems = append(r.problems, Problem{File: r.file, Path: "database", Text: "is missing: set it in the file, in DATABASE_URL or in OUTFLOW_DATABASE"})
}

// unusable says why pgx cannot use a connection string, or nothing if it can.
func unusable(text string) string {
	_, err := pgxpool.ParseConfig(text)
	if err == nil {
		return ""
	}
	if _, bad := errors.AsType[*url.Error](err); bad || strings.Contains(text, "://") && !parses(text) {
		return "the URL cannot be read; other characters than letters and digits in its password must be percent-encoded"
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	reason := err.Error()
	for _, secret := range passwordOf(text) {
		if secret != "" && strings.Contains(reason, secret) {
			return "it cannot be read"
		}
	}
	return reason
}

func parses(text string) bool {
	_, err := url.Parse(text)
	return err == nil
}
