package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// generations is which generations of a target there are, and what each is filled with, as the database has it.
type generations struct {
	digest   string // of what readers see
	serving  int
	next     string // the digest of what is being filled; empty: nothing is
	building int
	frozen   bool // readers still see serving, but nobody writes it any more
}

// definition is a projection as it was recorded. None, with an older version.
type definition struct{ query, settings *string }

// of is the projection with what was recorded of it.
func (d definition) of(p Projection) (Projection, error) {
	if d.query == nil || d.settings == nil {
		return p, fmt.Errorf("what is in target %s of backend %s was recorded by an older version: start a worker with that configuration once, so that it can be kept up", p.Target, p.Backend)
	}
	p.Query, p.Settings = *d.query, nil
	if err := json.Unmarshal([]byte(*d.settings), &p.Settings); err != nil {
		return p, fmt.Errorf("reading the settings of target %s of backend %s: %w", p.Target, p.Backend, err)
	}
	return p, nil
}

// recordedTargets is what the database knows of a backend's projections, by kind and target.
type recordedTargets struct {
	generations map[[2]string]generations
	serving     map[[2]string]definition
	building    map[[2]string]definition
}

func loadTargets(ctx context.Context, db outbox.DB, backend string) (r recordedTargets, err error) {
	r = recordedTargets{map[[2]string]generations{}, map[[2]string]definition{}, map[[2]string]definition{}}
	rows, err := db.Query(ctx, `
select kind, target, digest, generation, coalesce(next_digest, ''), coalesce(building, 0), coalesce(phase, '') = 'switching',
       query, settings, next_query, next_settings
  from outbox.projections where backend = $1`, backend)
	if err == nil {
		var id [2]string
		var g generations
		var now, next definition
		_, err = pgx.ForEachRow(rows, []any{
			&id[0], &id[1], &g.digest, &g.serving, &g.next, &g.building, &g.frozen,
			&now.query, &now.settings, &next.query, &next.settings,
		}, func() error {
			r.generations[id], r.serving[id], r.building[id] = g, now, next
			return nil
		})
	}
	if err != nil {
		return r, fmt.Errorf("reading the projections of backend %s: %w", backend, err)
	}
	return r, nil
}

// take takes a configured projection in: with the generations of its target that are written. The one that is being
// filled comes first, so that what readers see is never ahead of it.
func (s *store) take(ctx context.Context, c Config, p Projection, all recordedTargets) error {
	id := [2]string{p.Kind, p.Target}
	g, there := all.generations[id]
	if !there || g.building == 0 {
		return s.add(ctx, c, p, max(g.serving, 1), generation{})
	}
	next, err := all.building[id].of(p)
	if err != nil {
		return err
	}
	if err := s.add(ctx, c, next, g.building, generation{building: true, beside: !g.frozen}); err != nil || g.frozen {
		return err
	}
	if s.digests[id] != g.digest {
		if p, err = all.serving[id].of(p); err != nil {
			return err
		}
	}
	return s.add(ctx, c, p, g.serving, generation{})
}

// generation says what a plan's generation is.
type generation struct {
	building bool // it is being filled
	beside   bool // another one, which readers see, is written as well
}

// place is what the plan's target is called in the table of what is parked: each generation refuses for itself.
func (p *plan) place() string {
	if p.target.Building {
		return buildingPlace(p.target.Name, p.target.Generation)
	}
	return p.target.Name
}

// buildingPlace is the place of a generation that is being filled. No target of a backends.Rebuilder has an @.
func buildingPlace(target string, generation int) string {
	return target + "@" + strconv.Itoa(generation)
}

// current fails with errOutdated when the database has other generations, or other projections, than the store
// was opened with.
func (s *store) current(ctx context.Context, db outbox.DB) error {
	now, err := loadTargets(ctx, db, s.name)
	if err != nil {
		return err
	}
	if !maps.Equal(now.generations, s.generations) {
		return fmt.Errorf("backend %s: %w", s.name, errOutdated)
	}
	return nil
}

// fits says whether the projections that are configured are those of the database: of each target, what readers see
// or what is being filled.
func (s *store) fits() bool {
	if len(s.digests) != len(s.generations) {
		return false
	}
	for id, digest := range s.digests {
		if g, there := s.generations[id]; !there || digest != g.digest && digest != g.next {
			return false
		}
	}
	return true
}

// reopened is the store with the generations that there are now. It shares the open backend, and everything else that
// does not depend on them.
func (s *store) reopened(ctx context.Context, c Config) (*store, error) {
	if s.limits != (Limits{}) {
		c.Limits = map[string]Limits{s.name: s.limits}
	}
	fresh, err := describeStore(ctx, c, s.cfg, s.backend, s.features, s.projections)
	if err != nil {
		return nil, err
	}
	if !fresh.fits() {
		return nil, fmt.Errorf("backend %s: %w", s.name, errOutdated)
	}
	fresh.removed, fresh.preparing, fresh.verifying, fresh.lately = s.removed, s.preparing, s.verifying, s.lately
	fresh.prepared = s.readied(ctx, fresh)
	return fresh, nil
}

// readied says whether the store has made all targets of a later one ready: to do it again would put off once more what
// has been finished for the generation that readers are about to see.
func (s *store) readied(ctx context.Context, fresh *store) bool {
	done, err := alone(ctx, s.preparing)
	if err != nil {
		return false
	}
	defer done()
	known := map[[2]string]int{}
	for _, t := range s.targets() {
		known[[2]string{t.Name, strconv.FormatBool(t.Building)}] = t.Generation
	}
	for _, t := range fresh.targets() {
		if known[[2]string{t.Name, strconv.FormatBool(t.Building)}] != t.Generation {
			return false
		}
	}
	return s.prepared
}

// rebuilder is the store's backend, if its targets can have several generations.
func (s *store) rebuilder() (backends.Rebuilder, bool) {
	outer, ok := s.backend.(shell)
	if !ok {
		return nil, false
	}
	inner, ok := outer.Backend.(backends.Rebuilder)
	return rebuildShell{outer, inner}, ok
}
