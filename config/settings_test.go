package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
)

// What a type describes of its backends is what its opener reads, no less and no more.
func TestSettingsAreThoseThatAreRead(t *testing.T) {
	t.Parallel()
	for _, typ := range own {
		_, err := backends.Open(t.Context(), backends.Config{Name: "x", Type: typ, Settings: map[string]any{"unknown_setting": 1}})
		known, _ := backends.SettingsOf(typ)
		sameSettings(t, typ, err, known.Backend)
	}
}

// What a type describes of its targets is what it reads of a projection, no less and no more.
func TestSettingsOfTargetsAreThoseThatAreRead(t *testing.T) {
	t.Parallel()
	for _, typ := range own {
		c := backends.Config{Name: "x", Type: typ}
		if typ == "postgres" {
			c.Settings = map[string]any{"url": "postgres://localhost/app"}
		}
		b, err := backends.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Layout(backends.Target{Kind: "k", Name: "k", Settings: map[string]any{"unknown_setting": 1}})
		known, _ := backends.SettingsOf(typ)
		sameSettings(t, typ, err, known.Target)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sameSettings compares what an error says of the settings that there are with those that are described.
func sameSettings(t *testing.T, typ string, err error, known map[string]backends.Setting) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s takes an unknown setting", typ)
	}
	m := regexp.MustCompile(`unknown_setting is unknown: have ([a-z_]+(?:, [a-z_]+)*)`).FindStringSubmatch(err.Error())
	if m == nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(m[1], ", "), slices.Sorted(maps.Keys(known))); d != "" {
		t.Errorf("%s (-read +described): %s", typ, d)
	}
}
