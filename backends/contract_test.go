package backends_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/backends"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An error is one line that says what failed, where, of which class, why, and what to do.
func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*backends.Error{
		"write: transient (" + backends.Transient.Advice() + ")": {Op: "write", Class: backends.Transient},
		"write backend b kind k key x: rejected: EOF (mend it)":  {Op: "write", Backend: "b", Kind: "k", Key: "x", Class: backends.Rejected, Advice: "mend it", Err: io.EOF},
		"scan backend b: odd: EOF":                               {Op: "scan", Backend: "b", Class: "odd", Err: io.EOF},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Each class has advice of its own, and an unknown class none.
func TestAdvice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range []backends.Class{backends.Transient, backends.Overload, backends.Unknown, backends.Rejected, backends.Schema, backends.Denied} {
		if c.Advice() == "" || seen[c.Advice()] {
			t.Errorf("class %s: advice %q", c, c.Advice())
		}
		seen[c.Advice()] = true
	}
	if backends.Class("odd").Advice() != "" {
		t.Error("an unknown class has advice")
	}
}

// The class of an error is that of the *Error in its chain, else Unknown.
func TestClassOf(t *testing.T) {
	t.Parallel()
	e := &backends.Error{Op: "write", Class: backends.Denied, Err: io.EOF}
	wrapped := fmt.Errorf("around: %w", e)
	if backends.ClassOf(wrapped) != backends.Denied || backends.AsError("x", "y", wrapped) != e || !errors.Is(wrapped, io.EOF) {
		t.Errorf("the *Error in %v is not found", wrapped)
	}
	want := &backends.Error{Op: "scan", Backend: "b", Class: backends.Unknown, Err: io.EOF}
	if got := backends.AsError("scan", "b", io.EOF); *got != *want || backends.ClassOf(io.EOF) != backends.Unknown {
		t.Errorf("got %v", got)
	}
}

// A digest is written and read as 16 hexadecimal digits, and nothing else is one.
func TestParseDigest(t *testing.T) {
	t.Parallel()
	d := backends.ContentDigest([]byte("{}"), nil)
	if got, err := backends.ParseDigest(d.String()); err != nil || got != d {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "00", strings.Repeat("0", 17), "000000000000000g"} {
		if got, err := backends.ParseDigest(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// The digest tells apart what differs: absent from empty, and where one part ends and the next begins.
func TestContentDigest(t *testing.T) {
	t.Parallel()
	b := func(s string) []byte { return []byte(s) }
	seen := map[backends.Digest]int{}
	for i, c := range []struct {
		doc []byte
		raw [][]byte
	}{
		{nil, nil},
		{b(""), nil},
		{b("a"), nil},
		{nil, [][]byte{nil}},
		{nil, [][]byte{{}}},
		{nil, [][]byte{b("a")}},
		{b("a"), [][]byte{nil}},
		{b("ab"), nil},
		{b("a"), [][]byte{b("b")}},
		{nil, [][]byte{b("ab"), b("c")}},
		{nil, [][]byte{b("a"), b("bc")}},
		{nil, [][]byte{nil, {}}},
		{nil, [][]byte{{}, nil}},
	} {
		d := backends.ContentDigest(c.doc, c.raw)
		if j, twice := seen[d]; twice {
			t.Errorf("contents %d and %d have the same digest", i, j)
		}
		seen[d] = i
	}
	// PostgreSQL computes it too, and stores keep it: it must never change.
	// select substr(sha256(int8send(2) || '{}' || int8send(-1) || int8send(1) || 'x'), 1, 8)
	if got := backends.ContentDigest(b("{}"), [][]byte{nil, b("x")}).String(); got != "6f363efd41f55173" {
		t.Errorf("got %s", got)
	}
}

// A record's size counts all that it holds.
func TestSize(t *testing.T) {
	t.Parallel()
	empty := backends.Record{}.Size()
	if got := (backends.Record{Key: "12", Doc: make([]byte, 3), Raw: [][]byte{nil, make([]byte, 4)}}).Size() - empty; got != 9 {
		t.Errorf("got %d", got)
	}
}

// A type is registered once; one that is not is told with those that are.
func TestRegistry(t *testing.T) {
	t.Parallel()
	var got backends.Config
	backends.Register("test", func(_ context.Context, cfg backends.Config) (backends.Backend, error) {
		got = cfg
		return nil, io.EOF
	})
	if !slices.Contains(backends.Types(), "test") {
		t.Errorf("have %v", backends.Types())
	}
	if _, err := backends.Open(t.Context(), backends.Config{Name: "b", Type: "test"}); !errors.Is(err, io.EOF) || got.Name != "b" || got.Logger == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	logger := slog.Default()
	if _, _ = backends.Open(t.Context(), backends.Config{Type: "test", Logger: logger}); got.Logger != logger {
		t.Error("the logger was replaced")
	}
	if _, err := backends.Open(t.Context(), backends.Config{Name: "b", Type: "tset"}); err == nil || !strings.Contains(err.Error(), `backend b: unknown type "tset": have test`) {
		t.Errorf("got %v", err)
	}
	open := func(context.Context, backends.Config) (backends.Backend, error) { return nil, nil }
	for name, register := range map[string]func(){
		"twice":   func() { backends.Register("test", open) },
		"unnamed": func() { backends.Register("", open) },
		"nothing": func() { backends.Register("nothing", nil) },
	} {
		if !panics(register) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// The default layout folds all columns, in order.
func TestDocLayout(t *testing.T) {
	t.Parallel()
	target := backends.Target{Columns: []backends.Column{{Name: "b"}, {Name: "a"}}}
	if d := cmp.Diff(backends.Layout{Doc: []string{"b", "a"}}, backends.DocLayout(target)); d != "" {
		t.Error(d)
	}
}
