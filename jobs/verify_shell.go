package jobs

import (
	"context"

	"github.com/outflow-db/outflow/backends"
)

// compareShell is the shell of a backends.Comparer.
type compareShell struct {
	shell
	inner backends.Comparer
}

// Compare is bounded by the time for a request.
func (s compareShell) Compare(ctx context.Context, target backends.Target, records []backends.Record) (found []backends.Mismatch, err error) {
	defer s.recovered(ctx, "compare", &err)
	ctx, cancel := context.WithTimeout(ctx, s.request)
	defer cancel()
	return s.inner.Compare(ctx, target, records)
}

// countShell is the shell of a backends.Counter.
type countShell struct {
	shell
	inner backends.Counter
}

// Count is bounded by prepareTime: some stores count by reading an index.
func (s countShell) Count(ctx context.Context, target backends.Target) (n int64, err error) {
	defer s.recovered(ctx, "count", &err)
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	return s.inner.Count(ctx, target)
}

// endsShell is the shell of a backends.Ends.
type endsShell struct {
	shell
	inner backends.Ends
}

// Missing is bounded by the time for a request.
func (s endsShell) Missing(ctx context.Context, keys []string) (found []backends.Dangling, err error) {
	defer s.recovered(ctx, "look for ends", &err)
	ctx, cancel := context.WithTimeout(ctx, s.request)
	defer cancel()
	return s.inner.Missing(ctx, keys)
}

// ends begins a search for records of the plan that dangle. It is nil if the store's backend cannot tell, or they refer to
// nothing.
func (s *store) ends(ctx context.Context, p *plan) (ends backends.Ends, err error) {
	outer, ok := s.backend.(shell)
	if !ok {
		return nil, nil
	}
	dangler, ok := outer.Backend.(backends.Dangler)
	if !ok {
		return nil, nil
	}
	defer outer.recovered(ctx, "look for ends", &err)
	var targets []backends.Target
	for _, other := range s.ordered() {
		targets = append(targets, other.target)
	}
	if ends, err = dangler.Ends(p.target, targets); err != nil || ends == nil {
		return nil, err
	}
	return endsShell{outer, ends}, nil
}

// comparer is the store's backend, if it can compare what it holds; else nil.
func (s *store) comparer() backends.Comparer {
	if outer, ok := s.backend.(shell); ok {
		if inner, ok := outer.Backend.(backends.Comparer); ok {
			return compareShell{outer, inner}
		}
	}
	return nil
}

// counter is the store's backend, if it can count; else nil.
func (s *store) counter() backends.Counter {
	if outer, ok := s.backend.(shell); ok {
		if inner, ok := outer.Backend.(backends.Counter); ok {
			return countShell{outer, inner}
		}
	}
	return nil
}
