package outbox

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// bodyText is the JSON text of a body, nil for a nil one, and what is wrong with it, empty if nothing is. What
// PostgreSQL would refuse or encoding/json would silently replace is wrong.
func bodyText(body any) (text *string, reason string) {
	if body == nil {
		return nil, ""
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err.Error()
	}
	if reason := badJSON(b); reason != "" {
		return nil, reason
	}
	if bytes.Contains(b, []byte(`\ufffd`)) { // what encoding/json writes for bytes that are no UTF-8
		if at, bad := badString(reflect.ValueOf(body), "body"); bad {
			return nil, at + " is no UTF-8"
		}
	}
	s := string(b)
	return &s, ""
}

// badJSON says what jsonb does not store of a valid JSON text, empty if it stores all.
func badJSON(text []byte) string {
	if !utf8.Valid(text) {
		return "it is no UTF-8"
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // the escaped character; valid JSON has one
		if text[i] != 'u' {
			continue
		}
		switch r := escaped(text[i:]); {
		case r == 0:
			return `it has the escape \u0000, which PostgreSQL does not store`
		case utf16.IsSurrogate(r):
			second := rune(0)
			if len(text) > i+6 && text[i+5] == '\\' && text[i+6] == 'u' {
				second = escaped(text[i+6:])
			}
			if utf16.DecodeRune(r, second) == utf8.RuneError {
				return fmt.Sprintf(`it has the escape \%s, half of a surrogate pair`, text[i:i+5])
			}
			i += 6
		}
		i += 4
	}
	return ""
}

// escaped is the code unit of an escape that begins with its u.
func escaped(text []byte) rune {
	n, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	if err != nil { // valid JSON has four digits
		return utf8.RuneError
	}
	return rune(n)
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// badString finds a string in the value that is no UTF-8, and says where. Values that marshal themselves are taken
// for good: their replacement characters are their own.
func badString(v reflect.Value, at string) (string, bool) {
	if !v.IsValid() || v.Type().Implements(jsonMarshaler) || v.Type().Implements(textMarshaler) {
		return "", false
	}
	switch v.Kind() {
	case reflect.String:
		return at, !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return badString(v.Elem(), at)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if at, bad := badString(v.Index(i), at+"["+strconv.Itoa(i)+"]"); bad {
				return at, true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				if at, bad := badString(v.Field(i), at+"."+f.Name); bad {
					return at, true
				}
			}
		}
	case reflect.Map:
		return badEntry(v, at)
	default:
	}
	return "", false
}

// badEntry is badString for the keys and values of a map.
func badEntry(v reflect.Value, at string) (string, bool) {
	for entries := v.MapRange(); entries.Next(); {
		name := strings.ToValidUTF8(fmt.Sprint(entries.Key()), "\ufffd")
		if _, bad := badString(entries.Key(), ""); bad {
			return fmt.Sprintf("the name %q in %s", name, at), true
		}
		if at, bad := badString(entries.Value(), at+"."+name); bad {
			return at, true
		}
	}
	return "", false
}
