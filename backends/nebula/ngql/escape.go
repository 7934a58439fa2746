package ngql

import (
	"errors"
	"fmt"
	"strings"
)

// MaxStatement is how many bytes graphd takes by default (max_allowed_query_size).
const MaxStatement = 4 << 20

// maxName is how many bytes a label may have.
const maxName = 4096

// AppendString appends s as a string literal. It is read back byte by byte as it is, valid UTF-8 or not.
//
// graphd's scanner takes everything raw but the quote, the backslash and the line break, and cuts a run of bytes at a
// NUL. A property of type FIXED_STRING and an id end at a NUL all the same.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		i := strings.IndexAny(s, "\"\\\n\x00")
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		switch s[i] {
		case '\n':
			b = append(b, '\\', 'n')
		case 0: // octal escapes can be switched off, this one cannot
			b = append(b, `\u0000`...)
		default:
			b = append(b, '\\', s[i])
		}
		s = s[i+1:]
	}
	b = append(b, s...)
	return append(b, '"')
}

// CheckName tells why a name of a space, a tag, an edge type or a property cannot be written; nil: it can.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > maxName:
		return fmt.Errorf("a name has %d bytes, more than %d: %.40s…", len(name), maxName, name)
	}
	if i := strings.IndexAny(name, "`.\r\n\x00"); i >= 0 {
		return fmt.Errorf("the name %q has %q, which no name of NebulaGraph can have", name, name[i])
	}
	return nil
}

// AppendName appends a name in back quotes, in which no word is a keyword. The name must have passed CheckName.
func AppendName(b []byte, name string) []byte {
	b = append(b, '`')
	b = append(b, name...)
	return append(b, '`')
}

// appendNames appends `a`,`b`.
func appendNames(b []byte, names []string) []byte {
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendName(b, n)
	}
	return b
}
