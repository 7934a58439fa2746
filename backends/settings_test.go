package backends_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
)

// A setting says what is wanted in words.
func TestSettingSaysWhatIsWanted(t *testing.T) {
	t.Parallel()
	text := backends.Setting{Shape: backends.Text}
	for want, s := range map[string]backends.Setting{
		"a value":                         {},
		"a text":                          text,
		"one of a, b":                     {Shape: backends.Text, Words: []string{"a", "b"}},
		"a whole number":                  {Shape: backends.Whole},
		"a whole number from 1 to 3":      {Shape: backends.Whole, Least: 1, Most: 3},
		"a number":                        {Shape: backends.Number},
		"true or false":                   {Shape: backends.Flag},
		"a list, each a text":             backends.ListOf("", text),
		"a mapping of names, each a text": backends.NamesOf("", text),
		"a mapping of a, b":               {Shape: backends.Mapping, Fields: map[string]backends.Setting{"b": text, "a": text}},
		"a name, or a number":             {Want: "a name", Or: &backends.Setting{Shape: backends.Number}},
		"a time span of at least 1m0s, such as 90s": {Shape: backends.Span, AtLeast: time.Minute},
	} {
		if d := cmp.Diff(want, s.String()); d != "" {
			t.Error(d)
		}
	}
}

// What a type says of its settings is known by its name; a type that says nothing has none.
func TestDescribe(t *testing.T) {
	t.Parallel()
	backends.Describe("described", backends.Settings{Backend: map[string]backends.Setting{"tls": backends.TLS(map[string]backends.Setting{"own": {}})}})
	known, ok := backends.SettingsOf("described")
	if _, own := known.Backend["tls"].Fields["own"]; !ok || !own || len(known.Backend["tls"].Fields) != 4 {
		t.Errorf("got %v, %v", known, ok)
	}
	if _, ok := backends.SettingsOf("silent"); ok {
		t.Error("a type that says nothing has settings")
	}
}
