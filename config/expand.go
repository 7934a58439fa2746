package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxSecret bounds what ${file:..} reads: it is for passwords and certificates.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expander replaces references in values.
type expander struct {
	dir string // where relative paths of ${file:..} start
	env func(string) (string, bool)
}

// expand replaces every reference in s and says whether there was one. Its errors name references, never what they yield.
func (x expander) expand(s string) (text string, referred bool, err error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		if !found {
			b.WriteString(s)
			return b.String(), referred, nil
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(plain + "${")
			s = after
			continue
		}
		reference, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", true, errors.New("a reference without its closing brace; write $${ for a plain ${")
		}
		value, err := x.resolve(reference)
		if err != nil {
			return "", true, err
		}
		b.WriteString(before + value)
		s, referred = rest, true
	}
}

// resolve is the value of one reference, the text between the braces.
func (x expander) resolve(reference string) (string, error) {
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		return x.secret(path)
	}
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !variable.MatchString(name) {
		return "", errors.New("want ${NAME}, ${NAME:-default} or ${file:/path} as a reference; write $${ for a plain ${")
	}
	value, set := x.env(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", fmt.Errorf("the environment has no %s", name)
	default:
		return value, nil
	}
}

// secret is the content of a file. It must be a regular one, so that a terminal or a pipe cannot hold the start.
func (x expander) secret(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(x.dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("${file:%s}: %w", path, errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return "", fmt.Errorf("${file:%s}: want a plain file of at most %d KiB", path, maxSecret>>10)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("${file:%s}: %w", path, errors.Unwrap(err))
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// short keeps a text within a line.
func short(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
