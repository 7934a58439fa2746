package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// VerifyOptions choose what is compared. The zero value compares everything and repairs nothing.
type VerifyOptions struct {
	Backends []string      // only these; empty: all
	Kinds    []string      // only these; empty: all
	Deep     bool          // compare what the store really holds, and not only the digest that it keeps beside; see backends.Comparer
	Dangling bool          // look for records whose ends are missing, in stores that have such; Deep does so as well; see backends.Dangler
	Count    bool          // count only, and compare nothing
	Repair   bool          // put differing keys into the log again, for the backend
	Limit    int           // how many differences of a target are named; default 20
	Settle   time.Duration // how long to wait for changes in flight; default 30s

	Counted  func(TargetReport)      // is told the counts of a target, which come first, before it is compared; may be nil
	Progress func(done, total int64) // is told how many records of a target have been compared; may be nil
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
		began := time.Now()
		t, err := verifyTarget(ctx, c, s, p, o)
		if err == nil && !o.Count {
			c.remember(ctx, Result{TargetReport: t, Took: time.Since(began), Deeply: o.Deep, Repair: o.Repair, By: byCommand})
		}
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
	all   map[string]kind // that are declared
	kinds []string        // the plan's kind, and those whose changes lead to it
	list  string
	conn  *pgx.Conn // has the temporary tables
	deep  backends.Comparer
	ends  backends.Ends // nil: records that dangle are not looked for
	found TargetReport
}

func verifyTarget(ctx context.Context, c Config, s *store, p *plan, o VerifyOptions) (TargetReport, error) {
	v, done, err := compare(ctx, c, s, p, o)
	if err != nil {
		return TargetReport{}, err
	}
	if o.Count {
		err = v.counts(ctx)
	} else {
		err = v.run(ctx)
	}
	if derr := done(ctx); err == nil {
		err = derr
	}
	return v.found, err
}

// errNoContent says that a deep verify cannot be.
var errNoContent = errors.New("its type cannot read back what it holds: verify it without deep")

// compare begins a comparison, with a connection of its own. The caller ends it.
func compare(ctx context.Context, c Config, s *store, p *plan, o VerifyOptions) (v *comparison, done func(context.Context) error, err error) {
	def(&o.Limit, 20)
	def(&o.Settle, 30*time.Second)
	v = &comparison{c: c, s: s, p: p, o: o, found: TargetReport{Backend: s.name, Kind: p.Kind, Target: p.target.Name}}
	if o.Deep {
		if v.deep = s.comparer(); !s.comparable() {
			return nil, nil, errNoContent
		}
	}
	if v.all, err = loadKinds(ctx, c.Pool); err != nil {
		return nil, nil, err
	}
	if v.list = v.all[p.Kind].list; v.list == "" {
		return nil, nil, fmt.Errorf("kind %s is not declared in this database", p.Kind)
	}
	v.kinds = causes(v.all, p.Kind)
	if o.Dangling || o.Deep {
		if v.ends, err = s.ends(ctx, p); err != nil {
			return nil, nil, err
		}
		if v.ends != nil {
			v.found.Dangling = &Dangling{}
		}
	}
	conn, err := c.Pool.Acquire(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}
	v.conn = conn.Conn()
	done = func(ctx context.Context) error {
		defer conn.Release()
		return v.drop(ctx)
	}
	if _, err := v.conn.Exec(ctx, tempTables, pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("making temporary tables: %w", err), done(ctx))
	}
	return v, done, nil
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
drop table if exists pg_temp.verify_keys, pg_temp.verify_truth, pg_temp.verify_store, pg_temp.verify_differ, pg_temp.verify_dangling;
create temp table verify_keys (n bigint generated always as identity primary key, key text collate "C");
create temp table verify_truth (key text collate "C", digest text);
create temp table verify_store (key text collate "C", digest text);
create temp table verify_differ (key text collate "C" primary key, what text, columns jsonb, open boolean not null default true);
create temp table verify_dangling (key text collate "C" primary key, ends jsonb, lacking boolean, open boolean not null default true)`

// run counts both sides and compares them: first everything at once, then what differs, one by one, until it has settled.
func (v *comparison) run(ctx context.Context) error {
	if err := v.signal(ctx); err != nil {
		return err
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
	if err := v.conclude(ctx); err != nil {
		return err
	}
	return v.dangling(ctx)
}

// readStore copies keys and digests from the store, and keeps which of its records seem to dangle.
func (v *comparison) readStore(ctx context.Context) error {
	return v.s.backend.Scan(ctx, v.p.target, func(page []backends.Entry) error {
		_, err := v.conn.CopyFrom(ctx, pgx.Identifier{"pg_temp", "verify_store"}, []string{"key", "digest"},
			pgx.CopyFromSlice(len(page), func(i int) ([]any, error) { return []any{page[i].Key, page[i].Digest.String()}, nil }))
		if err != nil || v.ends == nil {
			return err
		}
		return v.maybeDangling(ctx, entryKeys(page))
	})
}

// readTruth copies keys and digests of what the projection makes of PostgreSQL's rows.
func (v *comparison) readTruth(ctx context.Context) error {
	total, err := v.hold(ctx, "", noLimit)
	if err != nil {
		return err
	}
	const step = 2000
	for from := int64(0); from < total; from += step {
		keys, err := v.held(ctx, from, step)
		if err != nil {
			return err
		}
		truth, err := v.truth(ctx, keys)
		if err != nil {
			return err
		}
		v.count(truth)
		if _, err := v.conn.CopyFrom(ctx, pgx.Identifier{"pg_temp", "verify_truth"}, []string{"key", "digest"}, copyEntries(truth.digests)); err != nil {
			return fmt.Errorf("keeping digests: %w", err)
		}
		if err := v.suspect(ctx, truth.differ, "different"); err != nil {
			return err
		}
		if v.o.Progress != nil {
			v.o.Progress(min(from+step, total), total)
		}
	}
	return nil
}

// count notes records that were compared.
func (v *comparison) count(truth truth) {
	v.found.Records += int64(len(truth.digests))
	switch {
	case !v.o.Deep:
	case v.deep != nil:
		v.found.Deep += int64(truth.deep)
	default: // the digests that the store tells are of what it holds
		v.found.Deep += int64(len(truth.digests))
	}
}

// suspect keeps keys that seem to differ, with the columns that do.
func (v *comparison) suspect(ctx context.Context, differ map[string][]string, what string) error {
	if len(differ) == 0 {
		return nil
	}
	keys, columns := make([]string, 0, len(differ)), make([]string, 0, len(differ))
	for key, names := range differ {
		keys, columns = append(keys, key), append(columns, columnList(names))
	}
	_, err := v.conn.Exec(ctx, `
insert into verify_differ (key, what, columns) select u.key, $3, u.columns::jsonb from unnest($1::text[], $2::text[]) u (key, columns)
on conflict (key) do nothing`, keys, columns, what)
	if err != nil {
		return fmt.Errorf("keeping differences: %w", err)
	}
	return nil
}

// columnList is a list of columns as JSON.
func columnList(names []string) string {
	list, err := json.Marshal(append([]string{}, names...))
	if err != nil {
		return "[]" // texts cannot fail
	}
	return string(list)
}

// noLimit is as many keys as there are.
const noLimit = math.MaxInt64

// hold lists the keys of the kind after one, so many at most, into a temporary table, in order, while the tables that have them are held: a
// rewriting DDL between snapshot and read would make them look empty. It answers how many there are. Row security is an
// error, as it is for pages: rows that the role does not see would be taken for rows that are not there.
func (v *comparison) hold(ctx context.Context, after string, most int64) (total int64, err error) {
	err = pgx.BeginFunc(ctx, v.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `truncate pg_temp.verify_keys restart identity`); err != nil {
			return fmt.Errorf("emptying a temporary table: %w", err)
		}
		if _, err := tx.Exec(ctx, `set local row_security = off`); err != nil {
			return fmt.Errorf("asking for all rows: %w", err)
		}
		for _, source := range v.s.sources {
			if _, err := tx.Exec(ctx, `lock table `+source+` in access share mode`); err != nil {
				return fmt.Errorf("holding %s: %w", source, err)
			}
		}
		tag, err := tx.Exec(ctx, `
insert into verify_keys (key) select k.key::text from (`+v.list+"\n) k where k.key is not null and k.key::text collate \"C\" > $1 order by k.key::text collate \"C\" limit $2", after, most)
		if err != nil {
			return fmt.Errorf("listing keys of kind %s: %w", v.p.Kind, err)
		}
		total = tag.RowsAffected()
		return nil
	})
	return total, err
}

// held are some of the keys that were listed, from a place in their order.
func (v *comparison) held(ctx context.Context, from, most int64) ([]string, error) {
	return v.column(ctx, `select key from verify_keys where n > $1 and n <= $1 + $2 order by n`, from, most)
}

// truth is what PostgreSQL has of some keys.
type truth struct {
	digests map[string]string   // of the records that are there
	differ  map[string][]string // of a deep verify: columns of records that the store holds otherwise
	deep    int                 // how many were compared so
}

// refusedDigest is that of a record that PostgreSQL cannot make: no record has it.
const refusedDigest = "refused"

// truth is what the projection makes of keys now. A key whose record PostgreSQL cannot make is found by halving; it
// is there if the kind has it, with a digest that no record has.
func (v *comparison) truth(ctx context.Context, keys []string) (truth, error) {
	all, err := v.project(ctx, keys)
	if !refused(err) {
		return all, err
	}
	if len(keys) == 1 {
		listed, err := v.number(ctx, `select count(*) from (`+v.list+"\n) k where k.key::text = $1", keys[0])
		if err == nil && listed > 0 {
			all.digests = map[string]string{keys[0]: refusedDigest}
		}
		return all, err
	}
	all, err = v.truth(ctx, keys[:len(keys)/2])
	if err != nil {
		return truth{}, err
	}
	rest, err := v.truth(ctx, keys[len(keys)/2:])
	if err != nil {
		return truth{}, err
	}
	maps.Copy(all.digests, rest.digests)
	maps.Copy(all.differ, rest.differ)
	all.deep += rest.deep
	return all, nil
}

// project asks the projection for the digests of keys, and the store for what it holds of them otherwise. Records are
// in memory a portion at a time.
func (v *comparison) project(ctx context.Context, keys []string) (truth, error) {
	all := truth{digests: make(map[string]string, len(keys)), differ: map[string][]string{}}
	collect := collector{bound: v.c.Settings.PortionBytes, sizes: map[*plan]int{}}
	for list := []ask{{v.p, keys}}; len(list) > 0; {
		var part portion
		err := outbox.ReadTx(ctx, v.c.Pool, v.s.sources, func(conn *pgx.Conn) (err error) {
			part = portion{}
			list, err = collect.read(ctx, conn, list, &part)
			return err
		})
		if err == nil && v.deep != nil {
			err = v.contents(ctx, part.records, &all)
		}
		if err != nil {
			return truth{digests: map[string]string{}, differ: map[string][]string{}}, err
		}
		part.digests(all.digests)
	}
	return all, nil
}

// contents asks the store what it holds otherwise than it would be written.
func (v *comparison) contents(ctx context.Context, parts []planned, all *truth) error {
	for _, part := range parts {
		there := slices.DeleteFunc(slices.Clone(part.records), func(r backends.Record) bool { return r.Deleted })
		all.deep += len(there)
		for some := range slices.Chunk(there, v.s.features.MaxRecords) {
			found, err := v.deep.Compare(ctx, v.p.target, some)
			if err != nil {
				return err
			}
			for _, m := range found {
				all.differ[m.Key] = m.Columns
			}
		}
	}
	return nil
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
func (v *comparison) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := v.conn.Exec(ctx, `drop table if exists pg_temp.verify_keys, pg_temp.verify_truth, pg_temp.verify_store, pg_temp.verify_differ, pg_temp.verify_dangling`); err != nil {
		return errors.Join(fmt.Errorf("dropping temporary tables: %w", err), v.conn.Close(ctx))
	}
	return nil
}
