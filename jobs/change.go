package jobs

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/outflow-db/outflow/backends"
)

// ErrRestart says that a running engine cannot take a configuration, because it needs other settings or a larger
// pool: another engine can.
var ErrRestart = errors.New("the engine must be made anew for this configuration")

// Change makes a running engine work by another configuration: it records it as Setup does, takes out the backends
// that are not in it, takes in those that are new, and does both for those that are configured otherwise. All others
// go on undisturbed. The pool and the logger stay those of the engine.
//
// What cannot work is a *PlanError, and other settings are ErrRestart; the engine then goes on as it was. On any other
// error it does so too, as far as it can: Change may be called again with the same configuration.
func (e *Engine) Change(ctx context.Context, c Config) error {
	c.Pool, c.Logger = e.c.Pool, e.c.Logger
	c, err := c.checked()
	if err != nil {
		return err
	}
	if c.Settings != e.c.Settings || c.Health != e.c.Health || !reflect.DeepEqual(c.Alerts, e.c.Alerts) || roomy(c) != nil {
		return ErrRestart
	}
	p, err := MakePlan(ctx, c, PlanOptions{})
	if err != nil {
		return err
	}
	if len(p.Problems) > 0 {
		return &PlanError{p.Problems}
	}
	return e.swap(ctx, c)
}

// swap replaces the backends that differ. They are out while the new configuration is recorded: what they would write
// meanwhile is not what is recorded. They come back as they were when it cannot be.
func (e *Engine) swap(ctx context.Context, c Config) error {
	var out []*store
	for _, s := range e.all() {
		if s.configured(c) {
			continue
		}
		if err := e.Remove(ctx, s.name); err != nil {
			return errors.Join(err, e.restore(ctx, out))
		}
		out = append(out, s)
	}
	if err := Setup(ctx, c); err != nil {
		return errors.Join(err, e.restore(ctx, out))
	}
	var errs []error
	for _, b := range c.Backends {
		if e.store(b.Name) == nil {
			errs = append(errs, e.Add(ctx, b, c.Limits[b.Name], c.Projections))
		}
	}
	return errors.Join(errs...)
}

// restore takes stores in again.
func (e *Engine) restore(ctx context.Context, out []*store) error {
	var errs []error
	for _, s := range out {
		errs = append(errs, e.Add(ctx, s.cfg, s.limits, s.projections))
	}
	return errors.Join(errs...)
}

// configured says whether the store is what the configuration says of it.
func (s *store) configured(c Config) bool {
	i := slices.IndexFunc(c.Backends, func(b backends.Config) bool { return b.Name == s.name })
	if i < 0 || c.Backends[i].Type != s.typ || !reflect.DeepEqual(c.Backends[i].Settings, s.cfg.Settings) || c.Limits[s.name] != s.limits {
		return false
	}
	digests := map[[2]string]string{}
	for _, p := range of(s.name, c.Projections) {
		digest, err := p.digest(s.typ)
		if err != nil {
			return false
		}
		digests[[2]string{p.Kind, p.Target}] = digest
	}
	return maps.Equal(digests, s.digests)
}
