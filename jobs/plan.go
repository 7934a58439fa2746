package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Action says what a step does.
type Action string

// The actions, in the order in which Apply takes them.
const (
	DoUnwatch Action = "unwatch" // takes the watch off a table, and forgets the kind if nothing else needs it
	DoDrop    Action = "drop"    // forgets a backend: its positions and what it parked; the store keeps its data
	DoWatch   Action = "watch"   // declares a kind and watches its table
	DoRewatch Action = "rewatch" // makes a kind's watch or its dependants right
	DoAdd     Action = "add"     // registers a backend
	DoFill    Action = "fill"    // puts every key of a kind into the log for a backend
	DoForget  Action = "forget"  // forgets a projection; the target keeps its data
	DoCreate  Action = "create"  // makes a structure in a store
	DoAlter   Action = "alter"   // changes a structure in a store
	DoRebuild Action = "rebuild" // a structure that the store cannot change in place: Apply fails there
)

// Step is one difference between what is recorded and what is configured.
type Step struct {
	Do      Action `json:"do"`
	Kind    string `json:"kind,omitempty"`
	Backend string `json:"backend,omitempty"`
	Target  string `json:"target,omitempty"`
	Field   string `json:"field,omitempty"` // within the target
	From    string `json:"from,omitempty"`  // how it is
	To      string `json:"to,omitempty"`    // how it shall be
	Why     string `json:"why,omitempty"`   // what led to a fill
	Keys    int64  `json:"keys,omitempty"`  // of a fill: how many records there are, about; zero: unknown
}

// Trouble is what is wrong with a part of the configuration, or with a store.
type Trouble struct {
	Kind    string `json:"kind,omitempty"`
	Backend string `json:"backend,omitempty"`
	Target  string `json:"target,omitempty"`
	Text    string `json:"text"`             // what is wrong
	Advice  string `json:"advice,omitempty"` // what to do about it
}

// Plan is what Apply would do.
type Plan struct {
	Steps       []Step    `json:"steps"`
	Kept        []Step    `json:"kept"`        // what is recorded and not configured: left alone unless PlanOptions.Prune
	Problems    []Trouble `json:"problems"`    // why Apply would fail
	Warnings    []Trouble `json:"warnings"`    // what works, and should be better
	Unreachable []Trouble `json:"unreachable"` // stores that could not be asked: what is to be done there is not known
}

// PlanOptions say what to plan.
type PlanOptions struct {
	Prune bool // what is recorded and not configured is forgotten
}

// Empty says that there is nothing to do, as far as the stores could be asked.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Problems) == 0 }

// MakePlan compares the configuration with the database and the stores, and changes nothing. The database must have
// been migrated. It needs the rights that Setup needs. An error means that the database could not be asked, or that
// the configuration is wrong in itself; what is wrong otherwise is in the plan.
func MakePlan(ctx context.Context, c Config, o PlanOptions) (*Plan, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	p := &planning{c: c, o: o, counts: map[string]int64{}}
	if err := p.recorded(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{p.kinds, p.rest, p.backends, p.stores} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	p.order()
	return &p.Plan, nil
}

// planning is one MakePlan under way.
type planning struct {
	Plan
	c      Config
	o      PlanOptions
	have   record
	counts map[string]int64 // records of a kind, about
}

// record is what the database knows.
type record struct {
	types       map[string]string               // of backends
	held        map[string]string               // backends to a worker that works them now
	projections map[string]map[[2]string]string // backend to (kind, target) to digest
	building    map[[3]string]string            // backend, kind and target to the digest of what is being filled beside
	watches     map[string]string               // kind to table
	declared    []string                        // kinds without a table, whose records are not in outbox.records
	known       []string                        // kinds
}

func (p *planning) recorded(ctx context.Context) error {
	p.have = record{types: map[string]string{}, held: map[string]string{}, projections: map[string]map[[2]string]string{}, building: map[[3]string]string{}, watches: map[string]string{}}
	var a, b, c, d string
	for _, q := range []struct {
		sql  string
		into []any
		take func()
	}{
		{`select name, type from outbox.backends`, []any{&a, &b}, func() { p.have.types[a] = b }},
		{`select backend, owner from outbox.lanes where owner is not null and expires > clock_timestamp()`, []any{&a, &b}, func() { p.have.held[a] = b }},
		{`select kind, rel::text from outbox.watches`, []any{&a, &b}, func() { p.have.watches[a] = b }},
		{`select k.kind, '' from outbox.kinds k where not k.records and not exists (select from outbox.watches w where w.kind = k.kind)`, []any{&a, &b}, func() { p.have.declared = append(p.have.declared, a) }},
		{`select kind, '' from outbox.kinds`, []any{&a, &b}, func() { p.have.known = append(p.have.known, a) }},
		{`select backend, kind, target, digest from outbox.projections`, []any{&a, &b, &c, &d}, func() {
			if p.have.projections[a] == nil {
				p.have.projections[a] = map[[2]string]string{}
			}
			p.have.projections[a][[2]string{b, c}] = d
		}},
		{`select backend, kind, target, next_digest from outbox.projections where building is not null`, []any{&a, &b, &c, &d}, func() { p.have.building[[3]string{a, b, c}] = d }},
	} {
		rows, err := p.c.Pool.Query(ctx, q.sql)
		if err == nil {
			_, err = pgx.ForEachRow(rows, q.into, func() error { q.take(); return nil })
		}
		if err != nil {
			return fmt.Errorf("reading what is recorded: %w", err)
		}
	}
	return nil
}

// kinds compares the kinds that are configured.
func (p *planning) kinds(ctx context.Context) error {
	for _, k := range p.c.Kinds {
		d, err := outbox.Compare(ctx, p.c.Pool, k)
		if err != nil {
			return err
		}
		p.counts[k.Name] = d.Rows
		for _, text := range d.Refused {
			p.Problems = append(p.Problems, Trouble{Kind: k.Name, Text: text})
		}
		if d.Holder != "" {
			p.moved(k, d.Holder)
		}
		do := DoRewatch
		if d.New {
			do = DoWatch
		}
		for _, text := range d.Changes {
			p.Steps = append(p.Steps, Step{Do: do, Kind: k.Name, To: text})
		}
	}
	return nil
}

// moved plans for a kind that another table feeds.
func (p *planning) moved(k outbox.Kind, holder string) {
	if p.o.Prune {
		p.Steps = append(p.Steps, Step{Do: DoUnwatch, Kind: k.Name, From: holder})
		return
	}
	p.Problems = append(p.Problems, Trouble{
		Kind: k.Name, Text: fmt.Sprintf("table %s feeds it in this database, but %s is configured", holder, cmp.Or(k.Table, "no table")),
		Advice: "outflow apply --prune takes the watch off " + holder + " first",
	})
}

// rest finds what is recorded and not configured.
func (p *planning) rest(context.Context) error {
	configured := func(kind string) bool {
		return slices.ContainsFunc(p.c.Kinds, func(k outbox.Kind) bool { return k.Name == kind }) ||
			slices.ContainsFunc(p.c.Projections, func(x Projection) bool { return x.Kind == kind })
	}
	to := &p.Kept
	if p.o.Prune {
		to = &p.Steps
	}
	for kind, table := range p.have.watches {
		if !configured(kind) {
			*to = append(*to, Step{Do: DoUnwatch, Kind: kind, From: table})
		}
	}
	for _, kind := range p.have.declared {
		if !configured(kind) {
			*to = append(*to, Step{Do: DoUnwatch, Kind: kind})
		}
	}
	for name, typ := range p.have.types {
		if slices.ContainsFunc(p.c.Backends, func(b backends.Config) bool { return b.Name == name }) {
			continue
		}
		*to = append(*to, Step{Do: DoDrop, Backend: name, From: typ})
		if owner := p.have.held[name]; owner != "" && p.o.Prune {
			p.Problems = append(p.Problems, Trouble{
				Backend: name, Text: "it is not configured here, but worker " + owner + " works it",
				Advice: "take it out of that worker's configuration, or stop the worker, before it is forgotten",
			})
		}
	}
	return nil
}

// backends compares the backends that are configured, and their projections.
func (p *planning) backends(context.Context) error {
	for _, b := range p.c.Backends {
		typ, there := p.have.types[b.Name]
		switch {
		case !there:
			p.Steps = append(p.Steps, Step{Do: DoAdd, Backend: b.Name, To: fmt.Sprintf("%s, lanes: %d", b.Type, p.c.settings(b.Name).Lanes)})
		case typ != b.Type:
			p.Problems = append(p.Problems, Trouble{
				Backend: b.Name, Text: fmt.Sprintf("it is of type %s in this database, but %s is configured", typ, b.Type),
				Advice: "give it another name; or take it out of the file, run outflow apply --prune, and put it in again",
			})
		}
		if err := p.projections(b); err != nil {
			return err
		}
	}
	return nil
}

// projections compares those of one backend.
func (p *planning) projections(b backends.Config) error {
	gone := map[[2]string]bool{}
	for id := range p.have.projections[b.Name] {
		gone[id] = true
	}
	for _, x := range of(b.Name, p.c.Projections) {
		digest, err := x.digest(b.Type)
		if err != nil {
			return err
		}
		if !slices.Contains(p.have.known, x.Kind) && !slices.ContainsFunc(p.c.Kinds, func(k outbox.Kind) bool { return k.Name == x.Kind }) {
			p.Problems = append(p.Problems, Trouble{Backend: b.Name, Kind: x.Kind, Target: x.Target, Text: "no such kind", Advice: "configure its table, or declare it with outbox.kind"})
		}
		id := [2]string{x.Kind, x.Target}
		delete(gone, id)
		was := p.have.projections[b.Name][id]
		next := p.have.building[[3]string{b.Name, x.Kind, x.Target}]
		switch {
		case was == "":
			p.fill(x, "the projection is new")
		case was == digest, next == digest:
		case next != "":
			p.Problems = append(p.Problems, Trouble{Backend: b.Name, Kind: x.Kind, Target: x.Target, Text: besideAnother, Advice: cancelAdvice(b.Name, x.Kind)})
		case was != digest:
			p.fill(x, "the projection has changed")
		}
	}
	for id := range gone {
		p.Steps = append(p.Steps, Step{Do: DoForget, Backend: b.Name, Kind: id[0], Target: id[1]})
	}
	return nil
}

func (p *planning) fill(x Projection, why string) {
	p.Steps = append(p.Steps, Step{Do: DoFill, Backend: x.Backend, Kind: x.Kind, Target: x.Target, Why: why, Keys: p.counts[x.Kind]})
}

// filled says whether the plan fills the target anyway.
func (p *planning) filled(x Projection) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Do == DoFill && s.Backend == x.Backend && s.Target == x.Target })
}

// storeChanges is what one store said.
type storeChanges struct {
	steps       []Step
	problems    []Trouble
	warnings    []Trouble
	unreachable []Trouble
}

// stores asks all stores at once, so that one that does not answer costs its time only once.
func (p *planning) stores(ctx context.Context) error {
	answers := make([]storeChanges, len(p.c.Backends))
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range p.c.Backends {
		group.Go(func() (err error) {
			answers[i], err = askStore(ctx, p.c, b)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, a := range answers {
		p.Problems = append(p.Problems, a.problems...)
		p.Warnings = append(p.Warnings, a.warnings...)
		p.Unreachable = append(p.Unreachable, a.unreachable...)
		p.Steps = append(p.Steps, a.steps...)
		p.lost(p.c.Backends[i].Name, a.steps)
	}
	return nil
}

// lacking is why a target is filled whose projection has not changed.
const lacking = "the store lacks what it was filled with"

// lost plans to fill targets that were filled before and are not there any more, or lack a part: what a store makes
// anew is empty.
func (p *planning) lost(backend string, steps []Step) {
	for _, x := range of(backend, p.c.Projections) {
		empty := slices.ContainsFunc(steps, func(s Step) bool {
			return s.Target == x.Target && (s.Do == DoAlter || s.Do == DoCreate && s.Field == "")
		})
		if empty && !p.filled(x) {
			p.fill(x, lacking)
		}
	}
}

// actions are in the order in which they are taken.
var actions = []Action{DoUnwatch, DoDrop, DoWatch, DoRewatch, DoAdd, DoFill, DoForget, DoCreate, DoAlter, DoRebuild}

// order puts the steps into the order of Apply, and everything into one that does not change from run to run.
func (p *planning) order() {
	for _, steps := range []*[]Step{&p.Steps, &p.Kept} {
		slices.SortStableFunc(*steps, func(a, b Step) int {
			if d := slices.Index(actions, a.Do) - slices.Index(actions, b.Do); d != 0 {
				return d
			}
			return strings.Compare(a.Backend+"\x00"+a.Target+"\x00"+a.Kind, b.Backend+"\x00"+b.Target+"\x00"+b.Kind)
		})
		*steps = append([]Step{}, *steps...)
	}
	for _, list := range []*[]Trouble{&p.Problems, &p.Warnings, &p.Unreachable} {
		*list = append([]Trouble{}, *list...)
	}
}

// parts are the single errors of a joined one.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, parts(e)...)
		}
		return all
	}
	return []error{err}
}

// troubleOf is an error of a backend as something to tell.
func troubleOf(backend string, err error) Trouble {
	t := Trouble{Backend: backend, Text: err.Error()}
	if e, ok := errors.AsType[*backends.Error](err); ok {
		t.Kind, t.Advice = e.Kind, e.What()
		cause := string(e.Class)
		if e.Err != nil {
			cause = e.Err.Error()
			if e.Class != backends.Rejected {
				cause = string(e.Class) + ": " + cause
			}
		}
		t.Text = strings.TrimSuffix(err.Error(), e.Error()) + cause
	}
	return t
}
