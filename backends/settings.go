package backends

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Shape is what a value of settings is at the top.
type Shape int

// The shapes that there are.
const (
	Anything Shape = iota // as it is: the store alone knows
	Text
	Whole   // a whole number
	Number  // with or without a fraction
	Flag    // true or false
	Span    // a time span such as 90s
	List    // of values, or one value alone
	Mapping // of fields that are known
	Names   // a mapping from any names to values of one form
)

// Setting says what a setting may be. With it a configuration is checked before anything is opened, each problem
// at the place where it is, and editors know what there is. It says no less than the type's Opener takes; what
// needs more than the value itself, such as the columns of a projection, only the backend finds.
type Setting struct {
	Shape       Shape
	About       string             // a sentence for editors
	Want        string             // what is wanted, for messages; empty: said by the rest
	Words       []string           // the texts that there are; none: any
	Pattern     string             // a regular expression for a text; empty: any
	Least, Most int64              // bounds of a whole number; both 0: none
	AtLeast     time.Duration      // of a span
	Of          *Setting           // elements of a list, values of names
	Fields      map[string]Setting // of a mapping
	Required    []string           // fields that a mapping must have
	Or          *Setting           // what it may be as well
}

// Settings are those that a type of backend knows.
type Settings struct {
	Backend map[string]Setting // of a backend
	Target  map[string]Setting // of a projection's target
}

// Describe makes known what settings a registered type has. It is called from a package's init. A type that does not call
// it has its settings checked by its Opener and by Plan alone.
func Describe(typ string, settings Settings) {
	registry.Lock()
	defer registry.Unlock()
	registry.settings[typ] = settings
}

// SettingsOf are the settings of a type; false: it does not say.
func SettingsOf(typ string) (Settings, bool) {
	registry.RLock()
	defer registry.RUnlock()
	s, ok := registry.settings[typ]
	return s, ok
}

// String is what is wanted, such as "a whole number from 1 to 64".
func (s Setting) String() string {
	text := s.Want
	if text == "" {
		text = s.plain()
	}
	if s.Or != nil {
		text += ", or " + s.Or.String()
	}
	return text
}

func (s Setting) plain() string {
	switch s.Shape {
	case Text:
		if len(s.Words) > 0 {
			return "one of " + strings.Join(s.Words, ", ")
		}
		return "a text"
	case Whole:
		if s.Least == 0 && s.Most == 0 {
			return "a whole number"
		}
		return fmt.Sprintf("a whole number from %d to %d", s.Least, s.Most)
	case Number:
		return "a number"
	case Flag:
		return "true or false"
	case Span:
		return fmt.Sprintf("a time span of at least %s, such as 90s", s.AtLeast)
	case List:
		return "a list, each " + s.Of.String()
	case Mapping:
		return "a mapping of " + strings.Join(slices.Sorted(maps.Keys(s.Fields)), ", ")
	case Names:
		return "a mapping of names, each " + s.Of.String()
	default:
		return "a value"
	}
}

// ListOf is a setting that is a list.
func ListOf(about string, of Setting) Setting { return Setting{Shape: List, About: about, Of: &of} }

// NamesOf is a setting that maps any names.
func NamesOf(about string, of Setting) Setting { return Setting{Shape: Names, About: about, Of: &of} }

// TLS is the setting tls, as every type has it: certificates in PEM. more are a type's own fields.
func TLS(more map[string]Setting) Setting {
	fields := map[string]Setting{
		"ca":          {Shape: Text, About: "The authorities that sign the server's certificate, in PEM. Default: those that the machine trusts."},
		"certificate": {Shape: Text, About: "The client's certificate, in PEM; goes with key."},
		"key":         {Shape: Text, About: "The key of the client's certificate, in PEM."},
	}
	maps.Copy(fields, more)
	return Setting{Shape: Mapping, About: "TLS. A mapping, even an empty one, switches it on.", Fields: fields}
}
