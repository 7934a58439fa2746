package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/outflow-db/outflow/internal/child"
	"github.com/outflow-db/outflow/internal/pgserver"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// restoreScenarios give the database another history. In each of them stores get ahead of what is restored.
func restoreScenarios() []Scenario {
	const expect = "noticed by the workers: positions are rebased, every store is verified and repaired, versions go on growing; stores that were ahead end equal"
	restore := func(name string, needs Need, do func(context.Context, *Lab) (func(context.Context) error, error)) Scenario {
		return Scenario{
			Part: Source, Name: name, Expect: expect, Sort: Restore, Slow: true, Needs: OwnServer | BigDisk | needs,
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				if err := l.forgetVerifies(ctx); err != nil {
					return nil, err
				}
				return do(ctx, l)
			},
		}
	}
	return []Scenario{
		restore("restored from a dump into another cluster (pg_dump)", Programs, dumped),
		restore("restored to a point in time (copy of the files and WAL)", Nothing, toPointInTime),
		restore("replica promoted, with the last commits lost", Nothing, promoted),
		restore("moved into another cluster by pg_upgrade", Programs, upgraded),
	}
}

// forgetVerifies deletes verify jobs, so that those which are queued from now on can be counted.
func (l *Lab) forgetVerifies(ctx context.Context) error {
	return insist(ctx, func() error { return l.exec(ctx, `delete from river.river_job where kind = 'verify'`) })
}

// program is one of PostgreSQL's own. Where the server's are linked to, there are more.
func (l *Lab) program(name string) string {
	path := filepath.Join(l.server.Bin(), name)
	if hasProgram(path) {
		return path
	}
	linked, err := filepath.EvalSymlinks(filepath.Join(l.server.Bin(), "postgres"))
	if err != nil {
		return path
	}
	return filepath.Join(filepath.Dir(linked), name)
}

func (l *Lab) hasPrograms() bool {
	if l.server == nil {
		return false
	}
	for _, name := range []string{"pg_dump", "psql", "pg_upgrade"} {
		if !hasProgram(l.program(name)) {
			return false
		}
	}
	return true
}

// ahead lets writers work for a while, until all stores have what they wrote: they are then ahead of what is restored.
func (l *Lab) ahead(ctx context.Context) error {
	pause(ctx, 500*time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.caughtUp(ctx, nil)
}

// dumped takes a dump, and restores it into another cluster after more was written.
func dumped(ctx context.Context, l *Lab) (func(context.Context) error, error) {
	dump := filepath.Join(l.dir, "dump.sql")
	if err := run(ctx, l.program("pg_dump"), "--no-comments", "--file", dump, l.server.URL(databaseName)); err != nil {
		return nil, err
	}
	if err := l.ahead(ctx); err != nil {
		return nil, err
	}
	fresh, err := l.sibling(ctx, pgserver.Config{})
	if err != nil {
		return nil, err
	}
	if err := admin(ctx, fresh, "create database "+databaseName); err != nil {
		return nil, errors.Join(err, fresh.Stop())
	}
	if err := run(ctx, l.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, fresh.URL(databaseName)); err != nil {
		return nil, errors.Join(err, fresh.Stop())
	}
	return func(ctx context.Context) error { return l.replace(ctx, fresh) }, nil
}

// sibling starts a server like the lab's, with the password that the workers have.
func (l *Lab) sibling(ctx context.Context, cfg pgserver.Config) (*pgserver.Server, error) {
	like := pgtest.Config()
	cfg.Bin, cfg.Version, cfg.Password = like.Bin, like.Version, l.password()
	if cfg.Settings == nil {
		cfg.Settings = map[string]string{}
	}
	for name, value := range like.Settings {
		if _, given := cfg.Settings[name]; !given {
			cfg.Settings[name] = value
		}
	}
	cfg.Settings["max_connections"], cfg.Settings["shared_buffers"], cfg.Settings["max_wal_senders"] = "150", "64MB", "4"
	return pgserver.Start(ctx, cfg)
}

// password is the one that the workers have.
func (l *Lab) password() string { return l.db().Config().ConnConfig.Password }

// replace puts a server in the place of the lab's, which ends: as if the name of the old one led to it now.
func (l *Lab) replace(ctx context.Context, fresh *pgserver.Server) error {
	old := l.server
	l.net.Unlisten()
	if err := l.move(ctx, fresh.URL(databaseName)); err != nil {
		return err
	}
	l.server = fresh
	return errors.Join(l.net.Listen(), old.Stop())
}

// copied stops the lab's server, copies its files into a new directory, and starts it again.
func (l *Lab) copied(ctx context.Context, name string) (dir string, err error) {
	account, err := child.Lookup("postgres", "nobody")
	if err != nil {
		return "", err
	}
	dir, err = account.Directory(filepath.Join(l.dir, name), "")
	if err != nil {
		return "", err
	}
	if err := l.server.Halt(); err != nil {
		return "", err
	}
	err = os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(l.server.Dir(), "data")))
	if err := errors.Join(err, l.server.Restart(ctx)); err != nil {
		return "", err
	}
	password := []byte(l.password() + "\n")
	if err := os.WriteFile(filepath.Join(dir, "password"), password, 0o600); err != nil {
		return "", err
	}
	return dir, own(dir, account)
}

// own hands a directory with all that is in it to an account, with rights that PostgreSQL accepts.
func own(dir string, account *child.Account) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700) //nolint:gosec // nobody else can write there
		}
		return errors.Join(err, account.Own(path))
	})
}

// toPointInTime restores a base backup, and the WAL up to a point that has passed.
func toPointInTime(ctx context.Context, l *Lab) (func(context.Context) error, error) {
	archive := filepath.Join(l.dir, "archive-"+time.Now().Format("150405.000"))
	dir, err := l.copied(ctx, "pitr-"+time.Now().Format("150405.000"))
	if err != nil {
		return nil, err
	}
	if err := l.ahead(ctx); err != nil {
		return nil, err
	}
	resume := l.rest()
	err = l.exec(ctx, `select pg_create_restore_point('here')`)
	resume()
	if err := errors.Join(err, l.ahead(ctx)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		l.net.Unlisten()
		if err := errors.Join(l.server.Kill(), l.archive(archive)); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "data", "recovery.signal"), nil, 0o600); err != nil {
			return err
		}
		account, err := child.Lookup("postgres", "nobody")
		if err := errors.Join(err, own(dir, account), own(archive, account)); err != nil {
			return err
		}
		restored, err := l.sibling(ctx, pgserver.Config{Dir: dir, Settings: map[string]string{
			"restore_command": "cp " + archive + "/%f %p", "recovery_target_name": "here", "recovery_target_action": "promote", "hot_standby": "off",
		}})
		if err != nil {
			return err
		}
		return l.replace(ctx, restored)
	}, nil
}

// archive copies the WAL of the lab's server, which has ended, to where it is restored from.
func (l *Lab) archive(dir string) error {
	return os.CopyFS(dir, os.DirFS(filepath.Join(l.server.Dir(), "data", "pg_wal")))
}

// promoted makes a replica the primary, which had not received the last commits.
func promoted(ctx context.Context, l *Lab) (func(context.Context) error, error) {
	dir, err := l.copied(ctx, "replica-"+time.Now().Format("150405.000"))
	if err != nil {
		return nil, err
	}
	account, err := child.Lookup("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "data", "standby.signal"), nil, 0o600), own(dir, account)); err != nil {
		return nil, err
	}
	wire, err := Start(Host(l.server.URL("postgres")))
	if err != nil {
		return nil, err
	}
	replica, err := l.sibling(ctx, pgserver.Config{Dir: dir, Settings: map[string]string{"primary_conninfo": through(wire, l.server.URL("postgres"))}})
	if err != nil {
		wire.Close()
		return nil, err
	}
	err = l.ahead(ctx)
	wire.Close() // what is committed from now on is lost
	if err := errors.Join(err, l.ahead(ctx)); err != nil {
		return nil, errors.Join(err, replica.Stop())
	}
	return func(ctx context.Context) error {
		l.net.Unlisten()
		if err := errors.Join(l.server.Kill(), admin(ctx, replica, "select pg_promote()")); err != nil {
			return err
		}
		return l.replace(ctx, replica)
	}, nil
}

// upgraded moves the database into a new cluster with pg_upgrade, which gives it another identifier.
func upgraded(ctx context.Context, l *Lab) (func(context.Context) error, error) {
	fresh, err := l.sibling(ctx, pgserver.Config{Dir: filepath.Join(l.dir, "upgrade-"+time.Now().Format("150405.000"))})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		l.net.Unlisten()
		if err := errors.Join(l.server.Halt(), fresh.Halt()); err != nil {
			return err
		}
		if err := l.upgrade(ctx, fresh); err != nil {
			return err
		}
		if err := fresh.Restart(ctx); err != nil {
			return err
		}
		return l.replace(ctx, fresh)
	}, nil
}

// upgrade runs pg_upgrade from the lab's cluster, which has ended, into another.
func (l *Lab) upgrade(ctx context.Context, fresh *pgserver.Server) error {
	bin := filepath.Dir(l.program("pg_upgrade"))
	cmd := exec.CommandContext(ctx, l.program("pg_upgrade"), "--old-bindir", bin, "--new-bindir", bin,
		"--old-datadir", filepath.Join(l.server.Dir(), "data"), "--new-datadir", filepath.Join(fresh.Dir(), "data"),
		"--socketdir", fresh.Dir(), "--username", "postgres")
	cmd.Dir, cmd.Env = fresh.Dir(), append(os.Environ(), "PGPASSWORD="+l.password())
	return asServer(cmd)
}

// run runs a program to its end.
func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, out)
	}
	return nil
}
