package settings_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/internal/settings"
)

// Settings that are right are read; those that are not there are their defaults.
func TestRead(t *testing.T) {
	t.Parallel()
	r := settings.New(map[string]any{
		"s": "text", "n": 3, "json": 4.0, "d": "90s", "dd": time.Minute, "one": "a", "many": []any{"a", "b"}, "typed": []string{"c"}, "null": nil,
		"m": map[string]any{"in": "side", "deep": map[string]any{"x": 1}},
	})
	got := []any{
		r.String("s", ""), r.String("absent", "def"), r.String("null", "def"), r.Int("n", 0, 1, 3), r.Int("json", 0, 1, 9), r.Int("absent", 7, 8, 9),
		r.Duration("d", 0, 0), r.Duration("dd", 0, 0), r.Duration("absent", time.Hour, 0), r.Strings("one"), r.Strings("many"), r.Strings("typed"), r.Strings("absent"),
	}
	r.Map("m", func(r *settings.Reader) {
		got = append(got, r.String("in", ""))
		r.Map("deep", func(r *settings.Reader) { got = append(got, r.Int("x", 0, 0, 9)) })
	})
	r.Map("absent", func(*settings.Reader) { t.Error("a map that is not there was read") })
	want := []any{
		"text", "def", "def", 3, 4, 7, 90 * time.Second, time.Minute, time.Hour, []string{"a"}, []string{"a", "b"}, []string{"c"}, []string(nil), "side", 1,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

// Every problem is told, at its place, without the value of a text: it may be a secret.
func TestProblems(t *testing.T) {
	t.Parallel()
	r := settings.New(map[string]any{
		"s": 1, "n": "secret", "frac": 1.5, "low": 0, "d": "soon", "short": "1s", "list": []any{"a", 2, true}, "nolist": 3.5, "m": "secret", "unknown": "secret",
		"in": map[string]any{"y": "secret", "z": int64(1)}, "odd": struct{}{},
	})
	r.String("s", "")
	r.Int("n", 0, 0, 9)
	r.Int("frac", 0, 0, 9)
	r.Int("low", 5, 1, 9)
	r.Duration("d", 0, 0)
	r.Duration("short", time.Hour, time.Minute)
	r.Strings("list")
	r.Strings("nolist")
	r.Map("m", func(*settings.Reader) {})
	r.Map("in", func(r *settings.Reader) { r.String("z", "") })
	r.String("odd", "")
	r.Fail("own", "is bad")
	err := r.Err()
	for _, want := range []string{
		"setting s is a number: want a text", "setting n is a text: want a whole number", "setting frac is 1.5: want a whole number", "setting low is 0: want 1 to 9",
		`setting d is "soon": want a duration`, "setting short is 1s: want at least 1m0s", "setting list[1] is a number: want a text",
		"setting list[2] is true or false", "setting nolist is a number: want a list", "setting m is a text: want a map", "setting in.y is unknown: have z",
		"setting in.z is a number", "setting odd is of type struct {}", "setting own is bad", "setting unknown is unknown: have d, frac, in,",
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a value is told:\n%v", err)
	}
}

// A setting is given or it is not; null is not.
func TestHas(t *testing.T) {
	t.Parallel()
	r := settings.New(map[string]any{"zero": 0, "empty": map[string]any{}, "null": nil})
	for name, want := range map[string]bool{"zero": true, "empty": true, "null": false, "none": false} {
		if got := r.Has(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
