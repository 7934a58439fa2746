package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// VerifyOptions choose what is compared. The zero value compares everything and repairs nothing.
type VerifyOptions struct {
	Backends []string      // only these; empty: all
	Kinds    []string      // only these; empty: all
	Repair   bool          // put differing keys into the log again, for the backend
	Limit    int           // how many differences of a target are named; default 20
	Settle   time.Duration // how long to wait for changes in flight; default 30s

	Progress func(done, total int64) // is told how many records of a target have been compared; may be nil
}

// Report is what a verify found.
type Report struct {
	Targets []TargetReport `json:"targets"`
}

// TargetReport is what a verify found in one target. The counts below Records are disjoint.
type TargetReport struct {
	Backend   string       `json:"backend"`
	Kind      string       `json:"kind"`
	Target    string       `json:"target"`
	Records   int64        `json:"records"`   // in PostgreSQL
	Missing   int64        `json:"missing"`   // not in the store
	Extra     int64        `json:"extra"`     // in the store, and not in PostgreSQL
	Different int64        `json:"different"` // with another content
	Parked    int64        `json:"parked"`    // differ, and are known to be refused by the store
	InFlight  int64        `json:"in_flight"` // changed while they were compared: nothing can be said
	Repaired  int64        `json:"repaired"`  // put into the log again
	Examples  []Difference `json:"examples,omitempty"`
}

// Difference is one record that differs.
type Difference struct {
	Key  string `json:"key"`
	What string `json:"what"` // missing, extra, different or parked
}

// OK says whether the target holds exactly what PostgreSQL holds, as far as it could be told.
func (t TargetReport) OK() bool { return t.Missing+t.Extra+t.Different+t.Parked == 0 }

// OK says whether every target is.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Targets, func(t TargetReport) bool { return !t.OK() })
}

// Verify compares every record of the backends with PostgreSQL, by key and content digest. Memory stays bounded: both
// sides go into temporary tables of one database connection, which must not be pooled per transaction. Records that
// changed meanwhile are looked at again until they have settled; a backend that nobody works is compared as it is.
func Verify(ctx context.Context, c Config, o VerifyOptions) (*Report, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	if err := o.problems(c); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, b := range c.Backends {
		if len(o.Backends) > 0 && !slices.Contains(o.Backends, b.Name) {
			continue
		}
		s, err := openStore(ctx, c, b)
		if err != nil {
			return nil, err
		}
		err = verifyStore(ctx, c, s, o, report)
		if err := errors.Join(err, s.backend.Close()); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// problems says which names mean nothing.
func (o VerifyOptions) problems(c Config) error {
	var errs []error
	for _, name := range o.Backends {
		if !slices.ContainsFunc(c.Backends, func(b backends.Config) bool { return b.Name == name }) {
			errs = append(errs, fmt.Errorf("verify: no backend %q is configured", name))
		}
	}
	for _, name := range o.Kinds {
		if !slices.ContainsFunc(c.Projections, func(p Projection) bool { return p.Kind == name }) {
			errs = append(errs, fmt.Errorf("verify: no projection of kind %q is configured", name))
		}
	}
	return errors.Join(errs...)
}

// verifyStore compares the targets of one store.
func verifyStore(ctx context.Context, c Config, s *store, o VerifyOptions, report *Report) error {
	if err := s.prepare(ctx, false); err != nil {
		return err
	}
	for _, p := range s.ordered() {
		if len(o.Kinds) > 0 && !slices.Contains(o.Kinds, p.Kind) {
			continue
		}
		t, err := verifyTarget(ctx, c, s, p, o)
		if err != nil {
			return fmt.Errorf("verifying kind %s in target %s of backend %s: %w", p.Kind, p.target.Name, s.name, err)
		}
		report.Targets = append(report.Targets, t)
	}
	return nil
}

// ordered lists the store's plans by kind and target, without generations that are being filled beside others.
func (s *store) ordered() []*plan {
	var all []*plan
	for _, plans := range s.plans {
		for _, p := range plans {
			if !p.beside {
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b *plan) int {
		return slices.Compare([]string{a.Kind, a.target.Name}, []string{b.Kind, b.target.Name})
	})
	return all
}

// comparison is one target under comparison.
type comparison struct {
	c     Config
	s     *store
	p     *plan
	o     VerifyOptions
	kinds []string // the plan's kind, and those whose changes lead to it
	list  string
	conn  *pgx.Conn // has the temporary tables
	found TargetReport
}

func verifyTarget(ctx context.Context, c Config, s *store, p *plan, o VerifyOptions) (TargetReport, error) {
	def(&o.Limit, 20)
	def(&o.Settle, 30*time.Second)
	kinds, err := loadKinds(ctx, c.Pool)
	if err != nil {
		return TargetReport{}, err
	}
	if kinds[p.Kind].list == "" {
		return TargetReport{}, fmt.Errorf("kind %s is not declared in this database", p.Kind)
	}
	conn, err := c.Pool.Acquire(ctx)
	if err != nil {
		return TargetReport{}, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Release()
	v := &comparison{
		c: c, s: s, p: p, o: o, kinds: causes(kinds, p.Kind), list: kinds[p.Kind].list, conn: conn.Conn(),
		found: TargetReport{Backend: s.name, Kind: p.Kind, Target: p.target.Name},
	}
	err = v.run(ctx)
	if derr := v.drop(ctx, conn); err == nil {
		err = derr
	}
	return v.found, err
}

// causes lists the kind and every kind of which it is a dependant, directly or not.
func causes(kinds map[string]kind, name string) []string {
	list := []string{name}
	for i := 0; i < len(list); i++ {
		for other, k := range kinds {
			if !slices.Contains(list, other) && slices.ContainsFunc(k.dependants, func(d dependant) bool { return d.kind == list[i] }) {
				list = append(list, other)
			}
		}
	}
	return list
}

const tempTables = `
drop table if exists pg_temp.verify_keys, pg_temp.verify_truth, pg_temp.verify_store, pg_temp.verify_differ;
create temp table verify_keys (n bigint generated always as identity primary key, key text collate "C");
create temp table verify_truth (key text collate "C", digest text);
create temp table verify_store (key text collate "C", digest text);
create temp table verify_differ (key text collate "C" primary key, what text, open boolean not null default true)`

// run compares: first everything at once, then what differs, one by one, until it has settled.
func (v *comparison) run(ctx context.Context) error {
	if _, err := v.conn.Exec(ctx, tempTables, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("making temporary tables: %w", err)
	}
	if err := v.readStore(ctx); err != nil {
		return err
	}
	if err := v.readTruth(ctx); err != nil {
		return err
	}
	if _, err := v.conn.Exec(ctx, `
insert into verify_differ (key, what)
select coalesce(t.key, s.key), case when s.key is null then 'missing' when t.key is null then 'extra' else 'different' end
  from verify_truth t full join verify_store s on s.key = t.key
 where s.key is null or t.key is null or s.digest <> t.digest
on conflict (key) do nothing`); err != nil {
		return fmt.Errorf("comparing: %w", err)
	}
	if err := v.settle(ctx); err != nil {
		return err
	}
	return v.conclude(ctx)
}

// readStore copies keys and digests from the store.
func (v *comparison) readStore(ctx context.Context) error {
	return v.s.backend.Scan(ctx, v.p.target, func(page []backends.Entry) error {
		_, err := v.conn.CopyFrom(ctx, pgx.Identifier{"pg_temp", "verify_store"}, []string{"key", "digest"},
			pgx.CopyFromSlice(len(page), func(i int) ([]any, error) { return []any{page[i].Key, page[i].Digest.String()}, nil }))
		return err
	})
}

// readTruth copies keys and digests of what the projection makes of PostgreSQL's rows.
func (v *comparison) readTruth(ctx context.Context) error {
	if err := v.hold(ctx); err != nil {
		return err
	}
	var total int64
	if err := v.conn.QueryRow(ctx, `select count(*) from verify_keys`).Scan(&total); err != nil {
		return fmt.Errorf("counting keys: %w", err)
	}
	const step = 2000
	for from := int64(0); from < total; from += step {
		keys, err := v.column(ctx, `select key from verify_keys where n > $1 and n <= $1 + $2`, from, step)
		if err != nil {
			return err
		}
		truth, err := v.truth(ctx, keys)
		if err != nil {
			return err
		}
		v.found.Records += int64(len(truth))
		if _, err := v.conn.CopyFrom(ctx, pgx.Identifier{"pg_temp", "verify_truth"}, []string{"key", "digest"}, copyEntries(truth)); err != nil {
			return fmt.Errorf("keeping digests: %w", err)
		}
		if v.o.Progress != nil {
			v.o.Progress(min(from+step, total), total)
		}
	}
	return nil
}

// hold lists all keys of the kind into a temporary table, while the tables that have them are held: a rewriting DDL
// between snapshot and read would make them look empty. Row security is an error, as it is for pages: rows that the
// role does not see would be taken for rows that are not there.
func (v *comparison) hold(ctx context.Context) error {
	return pgx.BeginFunc(ctx, v.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local row_security = off`); err != nil {
			return fmt.Errorf("asking for all rows: %w", err)
		}
		for _, source := range v.s.sources {
			if _, err := tx.Exec(ctx, `lock table `+source+` in access share mode`); err != nil {
				return fmt.Errorf("holding %s: %w", source, err)
			}
		}
		if _, err := tx.Exec(ctx, `insert into verify_keys (key) select k.key::text from (`+v.list+"\n) k where k.key is not null"); err != nil {
			return fmt.Errorf("listing keys of kind %s: %w", v.p.Kind, err)
		}
		return nil
	})
}

// truth is what the projection makes of keys now. A key whose record PostgreSQL cannot make is found by halving; it
// is there if the kind has it, with a digest that no record has.
func (v *comparison) truth(ctx context.Context, keys []string) (map[string]string, error) {
	truth, err := v.project(ctx, keys)
	if !refused(err) {
		return truth, err
	}
	if len(keys) == 1 {
		listed, err := v.count(ctx, `select count(*) from (`+v.list+"\n) k where k.key::text = $1", keys[0])
		if err != nil || listed == 0 {
			return nil, err
		}
		return map[string]string{keys[0]: "refused"}, nil
	}
	truth, err = v.truth(ctx, keys[:len(keys)/2])
	if err != nil {
		return nil, err
	}
	rest, err := v.truth(ctx, keys[len(keys)/2:])
	if err != nil {
		return nil, err
	}
	if truth == nil {
		return rest, nil
	}
	maps.Copy(truth, rest)
	return truth, nil
}

// project asks the projection for the digests of keys.
func (v *comparison) project(ctx context.Context, keys []string) (map[string]string, error) {
	truth := make(map[string]string, len(keys))
	err := outbox.ReadTx(ctx, v.c.Pool, v.s.sources, func(conn *pgx.Conn) error {
		collect := collector{bound: v.c.Settings.PortionBytes, sizes: map[*plan]int{}}
		for list := []ask{{v.p, keys}}; len(list) > 0; {
			var part portion
			var err error
			if list, err = collect.read(ctx, conn, list, &part); err != nil {
				return err
			}
			part.digests(truth)
		}
		return nil
	})
	return truth, err
}

// column collects one text column.
func (v *comparison) column(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := v.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return list, nil
}

func copyEntries(entries map[string]string) pgx.CopyFromSource {
	rows := make([][]any, 0, len(entries))
	for k, d := range entries {
		rows = append(rows, []any{k, d})
	}
	return pgx.CopyFromRows(rows)
}

// drop removes the temporary tables, so that the connection goes back to the pool as it came. If that fails, it does
// not go back.
func (v *comparison) drop(ctx context.Context, conn *pgxpool.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, `drop table if exists pg_temp.verify_keys, pg_temp.verify_truth, pg_temp.verify_store, pg_temp.verify_differ`); err != nil {
		return errors.Join(fmt.Errorf("dropping temporary tables: %w", err), conn.Conn().Close(ctx))
	}
	return nil
}
