package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/outflow-db/outflow/backends"
)

// Holding is what a target holds of a record now.
type Holding struct {
	Backend string `json:"backend"`
	Target  string `json:"target"`
	Held    bool   `json:"held"`
	Version int64  `json:"version,omitempty"` // of the page that wrote it
	Digest  string `json:"digest,omitempty"`  // of its content
	Problem string `json:"problem,omitempty"` // why that cannot be told; nothing else is then
}

// Held asks the stores that project a kind, or the one that is named, for a record, and answers for each target what it
// holds of it. A store that cannot be asked is a problem of its targets, and no error.
func Held(ctx context.Context, c Config, backend, kind, key string) ([]Holding, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	list := []Holding{}
	for _, b := range c.Backends {
		if backend != "" && b.Name != backend {
			continue
		}
		found, err := heldBy(ctx, c, b, kind, key)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

func heldBy(ctx context.Context, c Config, b backends.Config, kind, key string) (list []Holding, err error) {
	var targets []Projection
	for _, p := range of(b.Name, c.Projections) {
		if p.Kind == kind {
			targets = append(targets, p)
		}
	}
	if len(targets) == 0 {
		return nil, nil
	}
	s, err := openStore(ctx, c, b)
	if err != nil {
		return nil, fmt.Errorf("asking backend %s: %w", b.Name, err)
	}
	defer func() { err = errors.Join(err, s.backend.Close()) }()
	for _, p := range s.plans[kind] {
		h := Holding{Backend: b.Name, Target: p.place()}
		entries, err := s.backend.Lookup(ctx, p.target, []string{key})
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			h.Problem = backends.AsError("lookup", b.Name, err).Error()
		}
		for _, e := range entries {
			h.Held, h.Version, h.Digest = true, e.Version, e.Digest.String()
		}
		list = append(list, h)
	}
	return list, nil
}
