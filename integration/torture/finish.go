package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// finish commits what was open, mends what was refused, and ends the workers, with a comparison after each.
func (t *torture) finish(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"the open transaction was not delivered before its commit", t.undelivered},
		{"it is delivered after", t.delivered},
		{"what was refused arrives when it is mended", t.mended},
		{"what commits while a delta is half read is delivered after it, once", t.halfRead},
		{"SIGTERM ends workers with their lanes released", t.ended},
		{"no worker raced or panicked", t.logs},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if t.failed() {
			return nil
		}
		t.say("%s", step.name)
	}
	return nil
}

// undelivered looks for rows of the standing transactions in the backends.
func (t *torture) undelivered(ctx context.Context) error {
	return t.standingRows(ctx, false)
}

// delivered commits the standing transactions and looks for their rows.
func (t *torture) delivered(ctx context.Context) error {
	if err := t.open.commit(ctx); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if err := t.standingRows(ctx, true); err != nil {
		return err
	}
	return t.compare(ctx)
}

func (t *torture) standingRows(ctx context.Context, want bool) error {
	keys := []int{longFrom + 1, longFrom + t.open.rows}
	if !t.o.Listen {
		keys = append(keys, preparedFrom+1)
	}
	for _, backend := range t.links.names() {
		for _, key := range keys {
			there, err := t.has(ctx, backend, "t", fmt.Sprint(key))
			if err != nil {
				return err
			}
			if there != want {
				t.fail("backend %s has row %d of a standing transaction: %v, want %v", backend, key, there, want)
			}
		}
	}
	return nil
}

const mendSQL = `
update app.t set b = 'mended' where b = 'poison';
update app.pt set v = 'mended' where v like '%poison%';
update app.r set x = 'mended' where x like '%poison%';
delete from app.ck where a = 'poison';
update outbox.records set body = '{"text": "mended"}', embedding = '{1,2,3}' where body::text like '%poison%' or cardinality(embedding) <> 3`

// mended mends every row that some store refuses. Nothing is parked any more then.
func (t *torture) mended(ctx context.Context) error {
	if _, err := t.pool.Exec(ctx, mendSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	if err := t.compare(ctx); err != nil {
		return err
	}
	var parked int
	if err := t.pool.QueryRow(ctx, `select count(*) from outbox.parked`).Scan(&parked); err != nil {
		return err
	}
	if parked > 0 {
		t.fail("%d records are still parked after everything was mended", parked)
	}
	return nil
}

// ended asks the workers to end while they are busy.
func (t *torture) ended(ctx context.Context) error {
	if err := t.surge(ctx); err != nil {
		return err
	}
	if err := t.fleet.each(t.fleet.term); err != nil {
		t.fail("%v", err)
	}
	var held, present int
	err := t.pool.QueryRow(ctx, `
select (select count(*) from outbox.lanes where owner is not null), (select count(*) from outbox.owners where gone_at is null)`).Scan(&held, &present)
	if err != nil {
		return err
	}
	if held+present > 0 {
		t.fail("after all workers have ended, %d lanes are held and %d processes are not known to be gone", held, present)
	}
	return nil
}

// logs looks for what must not be in the workers' logs.
func (t *torture) logs(context.Context) error {
	files, err := filepath.Glob(filepath.Join(t.o.Dir, "worker-*.log"))
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if at := strings.Index(string(text), bad); at >= 0 {
				t.fail("%s says: %s", name, text[max(0, at-100):min(len(text), at+4000)])
			}
		}
	}
	return nil
}
