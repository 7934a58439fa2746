package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// hidden stands in for a secret.
const hidden = "***"

var (
	secretName = regexp.MustCompile(`(?i)(password|passwd|passphrase|secret|token|credential|authorization)|key$`)
	// userinfo finds the password in a URL, even in one that does not parse: all up to the last @ of its authority.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s:@/]*):[^\s]*@`)
	// keyword finds the password in keyword=value pairs.
	keyword = regexp.MustCompile(`(?i)((?:password|sslpassword|passphrase)\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]*)`)
)

// Redact hides the passwords in a URL or in the keyword=value pairs of a PostgreSQL connection.
func Redact(s string) string {
	s = userinfo.ReplaceAllString(s, "${1}:"+hidden+"@")
	return keyword.ReplaceAllString(s, "${1}"+hidden)
}

// String is the configuration in short, without secrets.
func (c *Config) String() string {
	return fmt.Sprintf("configuration %s: database %s, %d kinds, %d backends, %d projections",
		c.Name, Redact(c.Database), len(c.Kinds), len(c.Backends), len(c.Projections))
}

// GoString is String, so that %#v does not show secrets either.
func (c *Config) GoString() string { return c.String() }

// LogValue is the configuration for a log, without secrets.
func (c *Config) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("file", c.Name), slog.String("database", Redact(c.Database))}
	for _, b := range c.Backends {
		attrs = append(attrs, slog.Any(b.Name, b))
	}
	return slog.GroupValue(attrs...)
}

// String is the backend in short, without secrets.
func (b Backend) String() string {
	return fmt.Sprintf("backend %s of type %s, settings %v", b.Name, b.Type, redacted("", b.Settings))
}

// GoString is String, so that %#v does not show secrets either.
func (b Backend) GoString() string { return b.String() }

// LogValue is the backend for a log, without secrets.
func (b Backend) LogValue() slog.Value {
	return slog.GroupValue(slog.String("type", b.Type), slog.Any("settings", redacted("", b.Settings)))
}

// redacted copies a value of settings without what its name or its form marks as a secret.
func redacted(name string, v any) any {
	if secretName.MatchString(name) && v != nil {
		return hidden
	}
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = redacted(k, x)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = redacted(name, x)
		}
		return list
	case string:
		return Redact(v)
	default:
		return v
	}
}

// passwordOf lists the texts that an error about this connection must not contain.
func passwordOf(database string) []string {
	var found []string
	if u, err := url.Parse(database); err == nil && u.User != nil {
		if p, ok := u.User.Password(); ok {
			found = append(found, p, url.QueryEscape(p), url.PathEscape(p))
		}
	}
	for _, m := range keyword.FindAllStringSubmatch(database, -1) {
		found = append(found, strings.Trim(m[2], "'"))
	}
	return found
}
