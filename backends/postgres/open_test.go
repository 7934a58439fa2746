package postgres

import (
	"strings"
	"testing"

	"github.com/outflow-db/outflow/backends"
)

// All problems of the settings are told at once, and no secret is.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	_, err := backends.Open(t.Context(), backends.Config{Name: "b", Type: Type, Settings: map[string]any{
		"url": "postgres://u:hush%zz@h/d", "password": 7, "schema": "pg_mine", "connections": 0, "tombstones": "1s", "speed": "fast",
	}})
	if backends.ClassOf(err) != backends.Rejected {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"setting url cannot be read", "setting password is", "setting schema", "setting connections is 0", "setting tombstones is 1s", "setting speed is unknown"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the password is told: %v", err)
	}
	if _, err := open(t.Context(), backends.Config{}); err == nil || !strings.Contains(err.Error(), "setting url is missing") {
		t.Errorf("got %v", err)
	}
}

// A password is not in the error of a server that cannot be reached or refuses it.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]any{
		{"url": "postgres://u:hush@127.0.0.1:1/d"}, {"url": "postgres://u@127.0.0.1:1/d", "password": "hush"}, {"url": role(t).String(), "password": "hush"},
	} {
		b := store(t, settings)
		err := b.Health(t.Context())
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Settings of a target that cannot be served are an error of class Rejected that names each of them.
func TestLayoutRefuses(t *testing.T) {
	t.Parallel()
	b := store(t, map[string]any{"url": "postgres://h/d"})
	defer func() { _ = b.Close() }()
	cols := append(columns("a", "b"), backends.Column{Name: "v", Type: "real[]"}, backends.Column{Name: "d", Type: "double precision[]"})
	for want, target := range map[string]backends.Target{
		`setting text names column "c"`:           {Settings: map[string]any{"text": []any{"a", "c"}}},
		`setting text names column "a" twice`:     {Settings: map[string]any{"text": []any{"a", "a"}}},
		`setting text names column "v", which is`: {Settings: map[string]any{"text": "v", "vector": "v"}},
		`setting text[1] is a number`:             {Settings: map[string]any{"text": []any{"a", 1}}},
		`setting language must be`:                {Settings: map[string]any{"language": "en'"}},
		`of type double precision[]: want real[]`: {Settings: map[string]any{"vector": "d"}},
		`setting dimensions goes with`:            {Settings: map[string]any{"dimensions": 3}},
		`setting dimensions is 99999`:             {Settings: map[string]any{"dimensions": 99999, "vector": "v"}},
		`setting edge.from and to must`:           {Settings: map[string]any{"edge": map[string]any{"to": "a"}}},
		`setting edge.to names column "x"`:        {Settings: map[string]any{"edge": map[string]any{"from": "a", "to": "x"}}},
		`setting edge.kind is unknown`:            {Settings: map[string]any{"edge": map[string]any{"from": "a", "to": "b", "kind": "b"}}},
		`setting edge is a list`:                  {Settings: map[string]any{"edge": []any{"a", "b"}}},
		`setting shards is unknown`:               {Settings: map[string]any{"shards": 3}},
		`target "" cannot be a table`:             {Name: "-"},
		`target "_outflow_x" cannot be`:           {Name: "_outflow_x"},
		`cannot be a table: want 1 to 63 bytes`:   {Name: strings.Repeat("é", 32)},
	} {
		target.Kind, target.Columns = "k", cols
		switch target.Name {
		case "":
			target.Name = "t"
		case "-":
			target.Name = ""
		}
		_, err := b.Layout(target)
		if backends.ClassOf(err) != backends.Rejected || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		for name, call := range map[string]func() error{
			"prepare": func() error { return b.Prepare(t.Context(), []backends.Target{target}) },
			"scan":    func() error { return b.Scan(t.Context(), target, nil) },
			"write": func() error {
				_, err := b.Write(t.Context(), target, nil)
				return err
			},
			"lookup": func() error {
				_, err := b.Lookup(t.Context(), target, nil)
				return err
			},
		} {
			if err := call(); backends.ClassOf(err) != backends.Rejected {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}
