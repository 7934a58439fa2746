package faults

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/child"
	"github.com/outflow-db/outflow/internal/pgserver"
)

// sourceScenarios are the faults of PostgreSQL, and of the network to it.
func sourceScenarios() []Scenario {
	k := link{Source, func(l *Lab, _ *Store) *Proxy { return l.net }, "PostgreSQL"}
	list := network(k)
	list = append(list, sourceServer()...)
	return append(list, sourceSessions()...)
}

// sourceServer are the faults of the whole server.
func sourceServer() []Scenario {
	return []Scenario{
		{
			Part: Source, Name: "clean restart", Needs: OwnServer, Expect: "workers connect again; leases and positions hold",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return nil, l.server.Restart(ctx)
			},
		},
		{
			Part: Source, Name: "crash of the server (SIGKILL)", Needs: OwnServer, Expect: "what was in memory is over: lanes are taken anew from what is on disk",
			Do: func(_ context.Context, l *Lab, _ *Store) (func(context.Context) error, error) { return crash(l.server) },
		},
		{
			Part: Source, Name: "crash that loses commits (synchronous_commit = off)", Needs: OwnServer,
			Expect: "commits that nobody waited for are lost in PostgreSQL, and were shown in no store",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				l.lazy.Store(true)
				pause(ctx, 200*time.Millisecond)
				end, err := crash(l.server)
				l.lazy.Store(false)
				return end, err
			},
		},
		{
			Part: Source, Name: "one backend killed (SIGKILL)", Needs: OwnServer, Expect: "the postmaster ends all and recovers: as a crash",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return nil, l.killBackend(ctx)
			},
		},
		{
			Part: Source, Name: "disk full", Needs: OwnServer | SmallDisk, Lasts: time.Second, Expect: "writers fail, workers may: all go on when there is room",
			Do: func(_ context.Context, l *Lab, _ *Store) (func(context.Context) error, error) { return l.disk.fill() },
		},
		{
			Part: Source, Name: "out of memory", Needs: OwnServer | Prlimit, Lasts: time.Second, Expect: "new connections fail until there is memory; workers try again",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				conn, err := pgx.Connect(ctx, l.server.URL("postgres")) // there will be no other
				if err != nil {
					return nil, err
				}
				defer conn.Close(ctx)
				end, err := starve(ctx, l.server.PID())
				if err == nil {
					_, err = conn.Exec(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1`, workerName)
				}
				return end, err
			},
		},
		{
			Part: Source, Name: "clock an hour ahead, and back", Lasts: 500 * time.Millisecond, Expect: "versions go on from the highest, one by one, until the clock has caught up",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return jump(ctx, l, time.Hour)
			},
		},
		{
			Part: Source, Name: "clock a day back", Lasts: 500 * time.Millisecond, Expect: "versions go on from the highest, one by one",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return jump(ctx, l, -24*time.Hour)
			},
		},
	}
}

// sourceSessions are faults of sessions and of the database.
func sourceSessions() []Scenario {
	return []Scenario{
		{
			Part: Source, Name: "workers' connections terminated", Expect: "they connect again",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return nil, l.terminate(ctx, "true")
			},
		},
		{
			Part: Source, Name: "LISTEN connections lost", Expect: "workers poll until they listen again",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return nil, l.terminate(ctx, `query ilike 'listen%' or query ilike 'unlisten%'`)
			},
		},
		{
			Part: Source, Name: "statements cancelled again and again", Expect: "pages are read again; saves and renewals follow later",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return again(ctx, func(ctx context.Context) error { return l.signal(ctx, "pg_cancel_backend", "state = 'active'") }), nil
			},
		},
		setting("statement timeout of 1 ms", "statements fail until the setting is taken back", "statement_timeout = 1", "statement_timeout"),
		setting("database read-only", "positions and leases cannot be saved; lanes are taken again afterwards", "default_transaction_read_only = on", "default_transaction_read_only"),
		{
			Part: Source, Name: "database takes no connections", Needs: OwnServer, Expect: "workers try again until it does",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				if err := admin(ctx, l.server, "alter database "+databaseName+" allow_connections false"); err != nil {
					return nil, err
				}
				end := func(ctx context.Context) error {
					return admin(ctx, l.server, "alter database "+databaseName+" allow_connections true")
				}
				return end, l.terminate(ctx, "true")
			},
		},
		{
			Part: Source, Name: "projected table locked", Expect: "pages of the table wait, without holding the queue of locks up, and are read when it is free",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return l.session(ctx, `begin; lock table node in access exclusive mode`)
			},
		},
		{
			Part: Source, Name: "long transaction open", Expect: "it delays its own changes, and nobody else's",
			Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
				return l.session(ctx, `begin isolation level repeatable read; insert into node values (-1, 'long', '{1,2,3}', '{1,2}') on conflict (id) do update set v = 'longer'`)
			},
		},
	}
}

// setting is a setting of the database that makes the workers' sessions fail. The lab's own have it otherwise.
func setting(name, expect, set, reset string) Scenario {
	return Scenario{
		Part: Source, Name: name, Expect: expect, Do: func(ctx context.Context, l *Lab, _ *Store) (func(context.Context) error, error) {
			change := func(ctx context.Context, sql string) error {
				return errors.Join(
					insist(ctx, func() error {
						return l.exec(ctx, "alter database "+pgx.Identifier{l.db().Config().ConnConfig.Database}.Sanitize()+" "+sql)
					}),
					l.terminate(ctx, "true"))
			}
			return func(ctx context.Context) error { return change(ctx, "reset "+reset) }, change(ctx, "set "+set)
		},
	}
}

// crash ends a server at once. The end of it is when it has recovered.
func crash(s *pgserver.Server) (func(context.Context) error, error) { return s.Restart, s.Kill() }

// admin runs a statement in the server's own database.
func admin(ctx context.Context, s *pgserver.Server, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// terminate ends connections of workers.
func (l *Lab) terminate(ctx context.Context, which string) error {
	return l.signal(ctx, "pg_terminate_backend", which)
}

func (l *Lab) signal(ctx context.Context, function, which string) error {
	sql := fmt.Sprintf(`select count(%s(pid)) from pg_stat_activity where application_name = '%s' and datname = $1 and (%s)`, function, workerName, which)
	if l.server == nil {
		return l.exec(ctx, sql, l.db().Config().ConnConfig.Database)
	}
	conn, err := pgx.Connect(ctx, l.server.URL("postgres")) // the database itself may not be reached
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, l.db().Config().ConnConfig.Database)
	return err
}

// killBackend kills the process behind one connection of a worker. It returns when the server has recovered.
func (l *Lab) killBackend(ctx context.Context) error {
	var pid int
	err := insist(ctx, func() error {
		return l.db().QueryRow(ctx, `select pid from pg_stat_activity where application_name = $1 order by random() limit 1`, workerName).Scan(&pid)
	})
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return insist(ctx, func() error { return l.exec(ctx, `select`) })
}

// session runs statements on a connection of their own, which stays as it is until the end.
func (l *Lab) session(ctx context.Context, sql string) (func(context.Context) error, error) {
	l.mu.Lock()
	address := l.source
	l.mu.Unlock()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	end := func(ctx context.Context) error {
		_, _ = conn.Exec(ctx, "commit") // another fault may have ended it before
		_ = conn.Close(ctx)
		return nil
	}
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return end, err
}

// again does something every few milliseconds until it is ended.
func again(ctx context.Context, do func(context.Context) error) (end func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = do(ctx) // the server may be gone, too
			pause(ctx, 10*time.Millisecond)
		}
	}()
	return func(context.Context) error { cancel(); <-done; return nil }
}

// starve lets a server and what it starts have no more memory than they have.
func starve(ctx context.Context, pid int) (func(context.Context) error, error) {
	limit := func(ctx context.Context, as string) error {
		cmd := exec.CommandContext(ctx, "prlimit", "--pid", strconv.Itoa(pid), "--as="+as)
		return asServer(cmd)
	}
	return func(ctx context.Context) error { return limit(ctx, "unlimited") }, limit(ctx, "1000000:unlimited")
}

// asServer runs a command to its end, as the user that servers run as.
func asServer(cmd *exec.Cmd) error {
	account, err := child.Lookup("postgres", "nobody")
	if err != nil {
		return err
	}
	cmd.SysProcAttr = account.Attributes(syscall.SIGKILL)
	runtime.LockOSThread() // the signal comes when the thread ends that made the process
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

func hasProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// jump sets the clock that versions follow.
func jump(ctx context.Context, l *Lab, by time.Duration) (func(context.Context) error, error) {
	var definition string
	if err := l.db().QueryRow(ctx, `select pg_get_functiondef('outbox.next_version'::regproc)`).Scan(&definition); err != nil {
		return nil, err
	}
	const clock = "clock_timestamp()"
	if !strings.Contains(definition, clock) {
		return nil, errors.New("versions follow no clock")
	}
	wrong := strings.ReplaceAll(definition, clock, fmt.Sprintf("(%s + interval '%d seconds')", clock, int(by.Seconds())))
	end := func(ctx context.Context) error {
		return insist(ctx, func() error { return l.exec(ctx, definition) })
	}
	return end, l.exec(ctx, wrong)
}
