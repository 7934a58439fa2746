package lab

import (
	"context"
	"slices"

	"github.com/outflow-db/outflow/backends"
)

// null is a store that costs nothing and holds nothing.
type null struct{}

// Features promise nothing.
func (null) Features() backends.Features { return backends.Features{} }

// Layout wants vectors apart from the document, as stores of vectors do.
func (null) Layout(t backends.Target) (backends.Layout, error) {
	l := backends.DocLayout(t)
	for _, c := range t.Columns {
		if c.Type == "real[]" {
			l.Raw = append(l.Raw, c.Name)
		}
	}
	l.Doc = slices.DeleteFunc(l.Doc, func(name string) bool { return slices.Contains(l.Raw, name) })
	return l, nil
}

// Prepare has nothing to make.
func (null) Prepare(context.Context, []backends.Target) error { return nil }

// Write acknowledges everything.
func (null) Write(_ context.Context, _ backends.Target, records []backends.Record) ([]backends.Result, error) {
	return make([]backends.Result, len(records)), nil
}

// Scan finds nothing.
func (null) Scan(context.Context, backends.Target, func([]backends.Entry) error) error { return nil }

// Lookup finds nothing.
func (null) Lookup(context.Context, backends.Target, []string) ([]backends.Entry, error) {
	return nil, nil
}

// Health is always good.
func (null) Health(context.Context) error { return nil }

// Close has nothing to end.
func (null) Close() error { return nil }
