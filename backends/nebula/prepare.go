package nebula

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outflow-db/outflow/backends"
)

const (
	leastPause = 20 * time.Millisecond
	mostPause  = time.Second
	// patience is how long Prepare asks whether the servers know of a new schema, and an index is built.
	patience = 5 * time.Minute
	// rounds is how often Prepare looks again because another process was faster.
	rounds = 5
)

// Prepare makes the space, tags, edge types and indexes of the targets, or adds to them what is missing, and waits until
// the servers know of it. What cannot be put in place is told all at once.
func (b *backend) Prepare(ctx context.Context, targets []backends.Target) error {
	models, err := b.models(targets)
	if err != nil || len(models) == 0 {
		return err
	}
	if err := b.prepareSpace(ctx); err != nil {
		return b.classify("prepare", err)
	}
	var errs []error
	for i, t := range targets {
		if err := b.prepareTarget(ctx, models[i]); err != nil {
			errs = append(errs, b.classifyFor("prepare", t, err))
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// prepareSpace makes the space.
func (b *backend) prepareSpace(ctx context.Context) error {
	s, err := b.lookSpace(ctx)
	if err != nil {
		return err
	}
	if s.there {
		return b.impossible("space "+b.options.space, b.compareSpace(s))
	}
	o := b.options
	stmt := "CREATE SPACE IF NOT EXISTS " + name(o.space) + "(vid_type=" + o.vid.String()
	if o.partitions > 0 {
		stmt += fmt.Sprintf(",partition_num=%d", o.partitions)
	}
	if o.replicas > 0 {
		stmt += fmt.Sprintf(",replica_factor=%d", o.replicas)
	}
	if err := b.define(ctx, anywhere, stmt+")"); err != nil {
		return err
	}
	return b.await(ctx, func() error {
		_, err := b.pool.read(ctx, inSpace, "SHOW TAGS")
		return err
	})
}

// define changes a schema.
func (b *backend) define(ctx context.Context, w where, stmt string) error {
	if _, err := b.pool.run(ctx, w, []byte(stmt)); err != nil {
		return err
	}
	b.mu.Lock()
	b.defined = time.Now()
	b.mu.Unlock()
	return nil
}

// await asks until the servers know of what was defined.
func (b *backend) await(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := leastPause; ; pause = min(pause*2, mostPause) {
		err := ask()
		if !passing(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return &lostError{err: fmt.Errorf("the servers do not know of a schema that was made: %w; the last answer: %w", ctx.Err(), err)}
		}
	}
}

// errPending is what is not done yet.
var errPending = errors.New("the index is being built")

// passing says whether an answer may be another one soon: a server does not know of a schema yet.
func passing(err error) bool {
	if errors.Is(err, errPending) {
		return true
	}
	e, ok := errors.AsType[*answerError](err)
	if !ok {
		return false
	}
	class, _ := judgeAnswer(e)
	return class == backends.Schema || class == backends.Transient
}

// prepareTarget brings the types of a target to what is wanted.
func (b *backend) prepareTarget(ctx context.Context, m *model) error {
	var errs []error
	for _, typ := range m.types {
		if err := b.prepareType(ctx, m, typ); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// prepareType looks again after what it did: another process may do the same.
func (b *backend) prepareType(ctx context.Context, m *model, typ string) error {
	for round := range rounds {
		have, err := b.lookSchema(ctx, m, typ)
		if err != nil {
			return err
		}
		changes := m.compare(typ, have)
		if err := b.impossible(strings.ToLower(m.what())+" "+typ, changes); err != nil {
			return err
		}
		if len(changes) == 0 && round == 0 {
			return b.known(ctx, m, typ)
		}
		if len(changes) == 0 {
			return nil
		}
		if err := b.mend(ctx, m, typ, have); err != nil && (!says(err, "xisted", "onflict") || round == rounds-1) {
			return err
		}
	}
	return nil
}

// impossible is an error that names everything that cannot be put in place.
func (b *backend) impossible(of string, changes []backends.Change) error {
	var list []string
	for _, c := range changes {
		if c.What == backends.Rebuild {
			c.Target = ""
			list = append(list, strings.TrimSpace(strings.TrimPrefix(c.String(), string(backends.Rebuild)+" ")))
		}
	}
	if len(list) == 0 {
		return nil
	}
	e := b.fail("prepare", backends.Schema, fmt.Errorf("%s cannot be changed in place: %s", of, strings.Join(list, "; ")))
	e.Advice = "take the setting back, or let a new space take its place: name another in the setting space, then outflow rebuild " + b.name
	return e
}

// mend makes a type, or adds to it what is missing. The rows of a type that was there get into a new index by a job.
func (b *backend) mend(ctx context.Context, m *model, typ string, have schema) error {
	var stmts []string
	if !have.there {
		stmts = append(stmts, "CREATE "+m.what()+" IF NOT EXISTS "+name(typ)+"("+columnTexts(slices.Concat(own, m.props))+")")
	} else if add := m.missing(have); len(add) > 0 {
		stmts = append(stmts, "ALTER "+m.what()+" "+name(typ)+" ADD ("+columnTexts(add)+")")
	}
	for _, stmt := range stmts {
		if err := b.define(ctx, inSpace, stmt); err != nil {
			return err
		}
	}
	var fresh []string
	for _, i := range m.wanted(typ) {
		if _, ok := have.indexes[i.name]; ok {
			continue
		}
		fresh = append(fresh, i.name)
		stmt := "CREATE " + m.what() + " INDEX IF NOT EXISTS " + name(i.name) + " ON " + name(typ) + "(" + strings.Join(i.texts(), ",") + ")"
		if err := b.define(ctx, inSpace, stmt); err != nil {
			return err
		}
	}
	if err := b.known(ctx, m, typ); err != nil || !have.there {
		return err
	}
	for _, i := range fresh {
		if err := b.build(ctx, m, i); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) missing(have schema) []property {
	var add []property
	for _, p := range slices.Concat(own, m.props) {
		if _, ok := have.props[p.name]; !ok {
			add = append(add, p)
		}
	}
	return add
}

// columnTexts are properties as a statement defines them. All may be NULL.
func columnTexts(props []property) string {
	all := make([]string, len(props))
	for i, p := range props {
		all[i] = name(p.name) + " " + p.typ + " NULL"
	}
	return strings.Join(all, ",")
}

// known waits until every server knows of all properties and of the index that Scan reads by: it asks through that
// index, in all partitions, for what is not there.
func (b *backend) known(ctx context.Context, m *model, typ string) error {
	t := name(typ)
	yields := make([]string, 0, len(own)+len(m.props))
	for _, n := range m.names() {
		yields = append(yields, t+"."+name(n))
	}
	stmt := "LOOKUP ON " + t + " WHERE " + t + "." + name(slotProp) + " < 0 YIELD " + strings.Join(yields, ",")
	return b.await(ctx, func() error {
		_, err := b.pool.read(ctx, inSpace, stmt)
		return err
	})
}

// build fills an index with the rows that were there before it, and waits for that.
func (b *backend) build(ctx context.Context, m *model, index string) error {
	var job int64
	err := b.await(ctx, func() error {
		data, err := b.pool.run(ctx, inSpace, []byte("REBUILD "+m.what()+" INDEX "+name(index)))
		for _, row := range values(data, 1) {
			job = integer(row[0])
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.await(ctx, func() error {
		data, err := b.pool.read(ctx, inSpace, fmt.Sprintf("SHOW JOB %d", job))
		if err != nil {
			return err
		}
		rows := values(data, 3)
		if len(rows) == 0 {
			return errPending
		}
		switch status := text(rows[0][2]); status { // the first row is the job's, the others are its tasks'
		case "FINISHED":
			return nil
		case "FAILED", "STOPPED", "INVALID":
			return fmt.Errorf("the job %d that builds index %s has status %s", job, index, status)
		}
		return errPending
	})
}
