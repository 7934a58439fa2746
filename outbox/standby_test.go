package outbox

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// directory is a new one that other users can reach, as t.TempDir is not: servers run as another user than root.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outbox-") //nolint:usetesting // see above
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// standby makes a hot standby of a server whose cluster is in dir, from a copy of its files.
func standby(t *testing.T, primary *pgserver.Server, dir string) *pgserver.Server {
	t.Helper()
	own := filepath.Join(directory(t), "standby")
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err := errors.Join(err, os.CopyFS(filepath.Join(own, "data"), os.DirFS(filepath.Join(dir, "data")))); err != nil {
		t.Fatal(err)
	}
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.Remove(filepath.Join(own, "data", "postmaster.pid")),
		os.WriteFile(filepath.Join(own, "password"), password, 0o600),
		os.WriteFile(filepath.Join(own, "data", "standby.signal"), nil, 0o600),
		like(own, dir),
	); err != nil {
		t.Fatal(err)
	}
	cfg := pgtest.Config()
	cfg.Dir = own
	cfg.Settings["primary_conninfo"] = primary.URL("postgres")
	s, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// like gives everything in dir the owner of other, and rights that the server accepts.
func like(dir, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("no owner")
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		if err != nil {
			return err
		}
		return os.Chown(path, int(owner.Uid), int(owner.Gid))
	})
}

// On a standby pg_current_snapshot knows nothing of running transactions: a position taken there would count them as
// applied. Nothing reads the log there, and after a promotion positions have to be moved into the new history.
func TestB2StandbyIsRefused(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	primary, w := ownServer(t, dir)
	w.addBackend("b", 1)
	replica := standby(t, primary, dir)
	w.pool.Reset()
	tenure := w.take("b", "p")
	there := world{t, open(t, replica)}

	running := w.begin()
	running.logs("running")
	id := running.id()
	w.writes("done")
	there.caughtUp(w)
	at, err := Now(t.Context(), there.pool)
	w.ok(err)
	if !at.Visible(id) {
		t.Fatalf("%s on the standby knows that %d is running: this test proves nothing", at, id)
	}
	there.refusesReaders(tenure)
	running.commit()
	there.caughtUp(w)

	w.ok(primary.Kill())
	there.exec("select pg_promote()")
	there.pool.Reset()
	there.isLost(tenure, tenure.Start)
	there.isTroubled("other timeline")
	if n, err := Rebase(t.Context(), there.pool); err != nil || n != 2 {
		t.Fatalf("rebased %d rows: %v", n, err)
	}
	w.ok(CheckHistory(t.Context(), there.pool))
	there.isLost(tenure, tenure.Start)
	again := there.take("b", "q")
	if got, _ := there.page(NewReader(there.pool, again, nil), again.Start, 10); got != "running done" {
		t.Errorf("after the promotion %q are delivered", got)
	}
}

// caughtUp waits until the standby has replayed everything.
func (w world) caughtUp(primary world) {
	w.Helper()
	w.eventually(`select pg_last_wal_replay_lsn() >= $1::pg_lsn`, primary.text(`select pg_current_wal_insert_lsn()`))
}

// refusesReaders fails unless nothing can be read from a standby.
func (w world) refusesReaders(t *Tenure) {
	w.Helper()
	w.isTroubled("standby")
	r := NewReader(w.pool, t, nil)
	_, _, look := r.Look(w.Context(), t.Start)
	_, page := r.Page(w.Context(), t.Start, 10, nil, nil)
	_, rebase := Rebase(w.Context(), w.pool)
	for use, err := range map[string]error{
		"Look": look, "Page": page, "Rebase": rebase, "AdvanceIdle": AdvanceIdle(w.Context(), w.pool),
		"State": r.State(w.Context(), func(context.Context, *pgx.Conn) error { return nil }),
		"Save":  t.Save(w.Context(), w.pool, t.Start, Outcome{}),
	} {
		if err == nil {
			w.Errorf("%s works on a standby", use)
		}
	}
}

// isTroubled fails unless CheckHistory and Take say why positions cannot be trusted.
func (w world) isTroubled(reason string) {
	w.Helper()
	_, take := Take(w.Context(), w.pool, Claim{Backend: "b", Owner: "q", Lease: time.Minute})
	for what, err := range map[string]error{"CheckHistory": CheckHistory(w.Context(), w.pool), "Take": take} {
		if trouble, ok := errors.AsType[*HistoryError](err); !ok || trouble.Reason != reason {
			w.Errorf("%s: got %v, want %s", what, err, reason)
		}
	}
}

// A dump carries everything, the mark of the living database too. A reader that finds itself in the restored copy, as
// after a switch of addresses, stops: the ids of its position mean nothing there.
func TestDumpAndRestoreEndsTenures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	w.writes("a")
	restored := newWorld(t)
	restored.exec("truncate outbox.history")
	for _, table := range []string{"outbox.history", "outbox.backends", "outbox.lanes", "outbox.log", "outbox.alive"} {
		restored.restore(w, table)
	}

	restored.want(w.text("select boot from outbox.alive"), "select boot from outbox.alive")
	restored.isLost(tenure, tenure.Start)
	restored.isTroubled("other database")
	w.ok(tenure.Renew(t.Context(), w.pool)) // the original goes on

	if n, err := Rebase(t.Context(), restored.pool); err != nil || n != 1 {
		t.Fatalf("rebased %d rows: %v", n, err)
	}
	restored.isLost(tenure, tenure.Start)
	again := restored.take("b", "q")
	if got, _ := restored.page(NewReader(restored.pool, again, nil), again.Start, 10); got != "a" {
		t.Errorf("the restored database delivers %q", got)
	}
}

// restore copies a table as pg_dump and pg_restore do.
func (w world) restore(from world, table string) {
	w.Helper()
	var dump bytes.Buffer
	_, err := from.connect().PgConn().CopyTo(w.Context(), &dump, "copy "+table+" to stdout")
	w.ok(err)
	_, err = w.connect().PgConn().CopyFrom(w.Context(), &dump, "copy "+table+" from stdin")
	w.ok(err)
}
