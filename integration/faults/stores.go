package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	vesoft "github.com/vesoft-inc/nebula-go/v3/nebula"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/internal/qdrantserver"
)

// What the engine does about classes of failures.
const (
	isTransient = "class transient: tried again with growing pauses"
	isOverload  = "class overload: tried again, in halves, with longer pauses"
	isUnknown   = "class unknown: sent again, and suspect"
	isDenied    = "class denied: the backend pauses, says why, is probed, and goes on when it is let in"
	isFound     = "verify finds what differs, and repairs it by putting the keys into the log"
)

// hit is a fault of a store that has no end of its own.
func hit(part, name, expect string, do func(ctx context.Context, s *Store) error) Scenario {
	return Scenario{Part: part, Name: name, Expect: expect, Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
		return nil, do(ctx, s)
	}}
}

// damaged lists what can be done to a store's contents behind Outflow's back.
func damaged(part string) Scenario {
	return Scenario{
		Part: part, Name: "records changed and deleted behind our back", Expect: isFound, Sort: Damage,
		Do: func(ctx context.Context, l *Lab, s *Store) (func(context.Context) error, error) {
			return nil, l.damage(ctx, s)
		},
	}
}

// damage deletes some records of a store and gives others another's content, while the writers rest.
func (l *Lab) damage(ctx context.Context, s *Store) error {
	if err := l.caughtUp(ctx, []*Store{s}); err != nil {
		return err
	}
	b, err := backends.Open(ctx, s.place().config())
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // the answer is there
	node, _ := s.place().settings()
	// Another kind of columns would be another target: these are those of the projection.
	t := backends.Target{Kind: "node", Name: "node", Columns: columns(s.Type), Settings: node}
	if err := b.Prepare(ctx, []backends.Target{t}); err != nil {
		return err
	}
	var held []backends.Entry
	if err := b.Scan(ctx, t, func(page []backends.Entry) error { held = append(held, page...); return nil }); err != nil {
		return err
	}
	layout, err := b.Layout(t)
	if err != nil || len(held) < 2 {
		return errors.Join(err, errors.New("the store holds nothing to damage"))
	}
	_, err = backends.WriteBisected(ctx, b, t, foreign(held, layout))
	return err
}

// foreign are records as Outflow would never write them, in the place of some of those that are held.
func foreign(held []backends.Entry, layout backends.Layout) (list []backends.Record) {
	for i, e := range held {
		r := backends.Record{Key: e.Key, Version: e.Version + 1, Deleted: i%5 == 0}
		switch i % 5 {
		case 0:
			list = append(list, r)
		case 1:
			r.Doc, r.Raw = []byte(`{"v": "foreign"}`), make([][]byte, len(layout.Raw))
			r.Digest = backends.ContentDigest(r.Doc, r.Raw)
			list = append(list, r)
		}
	}
	return list
}

// columns are those of the projection of nodes.
func columns(typ string) []backends.Column {
	list := []backends.Column{{Name: "v", OID: 25, Type: "text", Base: "text", Form: backends.FormBase}}
	if typ == qdrant.Type {
		for _, name := range []string{"a", "b"} {
			list = append(list, backends.Column{Name: name, OID: 1021, Type: "real[]", Base: "real[]", Form: backends.FormBase})
		}
	}
	return list
}

// postgresScenarios are the faults of a read model.
func postgresScenarios() []Scenario {
	const part = postgres.Type
	k := storeLink(part)
	list := append(network(k), k.loses(`insert into "readmodel"."node"`), damaged(part))
	return append(list,
		hit(part, "clean restart", isTransient, func(ctx context.Context, s *Store) error { return s.postgres.Restart(ctx) }),
		Scenario{
			Part: part, Name: "crash (SIGKILL)", Expect: isUnknown + "; what it had acknowledged is there",
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return crash(s.postgres)
			},
		},
		Scenario{
			Part: part, Name: "disk full", Needs: SmallDisk, Lasts: time.Second, Expect: isOverload + ", until there is room",
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) { return s.disk.fill() },
		},
		hit(part, "connections terminated", isUnknown, func(ctx context.Context, s *Store) error {
			return s.exec(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '`+workerName+`'`)
		}),
		hit(part, "statements cancelled", isTransient, func(ctx context.Context, s *Store) error {
			return s.exec(ctx, `select count(pg_cancel_backend(pid)) from pg_stat_activity where application_name = '`+workerName+`'`)
		}),
		alter("database read-only", isTransient, "set default_transaction_read_only = on", "reset default_transaction_read_only"),
		alter("database takes no connections", isTransient, "allow_connections false", "allow_connections true"),
		Scenario{
			Part: part, Name: "table locked", Expect: isTransient,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return s.session(ctx, `begin; lock table readmodel.node in access exclusive mode`)
			},
		},
		Scenario{
			Part: part, Name: "table emptied behind our back", Expect: isFound, Sort: Damage,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.exec(ctx, `truncate readmodel.node`)
			},
		},
		Scenario{
			Part: part, Name: "table dropped", Expect: "class schema: it is made anew; verify finds what is missing, and repairs it", Sort: Damage,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.exec(ctx, `drop table readmodel.node cascade`)
			},
		},
		Scenario{
			Part: part, Name: "password changed, and mended", Expect: isDenied, Slow: true, Lasts: time.Second,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return s.otherPassword(ctx)
			},
		})
}

// alter is a setting of the store's database, which workers find when they connect again.
func alter(name, expect, set, reset string) Scenario {
	return Scenario{
		Part: postgres.Type, Name: name, Expect: expect, Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
			change := func(ctx context.Context, sql string) error {
				return insist(ctx, func() error {
					conn, err := pgx.Connect(ctx, s.postgres.URL("postgres"))
					if err != nil {
						return err
					}
					defer conn.Close(ctx)
					_, err = conn.Exec(ctx, `alter database `+databaseName+` `+sql)
					if err == nil {
						_, err = conn.Exec(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '`+workerName+`'`)
					}
					return err
				})
			}
			return func(ctx context.Context) error { return change(ctx, reset) }, change(ctx, set)
		},
	}
}

// session is a connection that stays as the statements left it until the end.
func (s *Store) session(ctx context.Context, sql string) (func(context.Context) error, error) {
	conn, err := pgx.Connect(ctx, s.place().Address)
	if err != nil {
		return nil, err
	}
	end := func(ctx context.Context) error {
		_ = conn.Close(ctx) // another fault may have ended it before
		return nil
	}
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return end, err
}

// otherPassword changes the password that the workers have.
func (s *Store) otherPassword(ctx context.Context) (func(context.Context) error, error) {
	conn, err := pgx.Connect(ctx, s.place().Address)
	if err != nil {
		return nil, err
	}
	end := func(ctx context.Context) error {
		_, err := conn.Exec(ctx, `alter role postgres password '`+conn.Config().Password+`'`)
		_ = conn.Close(ctx)
		return err
	}
	_, err = conn.Exec(ctx, `alter role postgres password 'another'`)
	if err == nil {
		_, err = conn.Exec(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '`+workerName+`'`)
	}
	return end, err
}

// troubled is trouble that the stand-in for Qdrant makes until it is healed.
func troubled(name, expect string, faults ...qdrantserver.Fault) Scenario {
	return Scenario{
		Part: qdrant.Type, Name: name, Expect: expect, Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
			for _, f := range faults {
				s.qdrant.Fail(f)
			}
			return func(context.Context) error { s.qdrant.Heal(); return nil }, nil
		},
	}
}

// qdrantScenarios are the faults of a Qdrant.
func qdrantScenarios() []Scenario {
	const part = qdrant.Type
	denied := troubled("API key refused, and mended", isDenied, qdrantserver.Fault{Err: status.Error(codes.Unauthenticated, "Invalid API key or JWT")})
	denied.Slow, denied.Lasts = true, 500*time.Millisecond
	list := append(network(storeLink(part)), damaged(part), denied,
		troubled("answer lost after the write", isUnknown, qdrantserver.Fault{Trouble: qdrantserver.CutAfter, Method: "Upsert", Times: 1}, qdrantserver.Fault{Trouble: qdrantserver.CutAfter, Method: "Delete", Times: 1}),
		troubled("write applied when its sender has given up", isUnknown, qdrantserver.Fault{Trouble: qdrantserver.ApplyLate, Method: "Upsert", Times: 1}),
		troubled("answer held back", isUnknown, qdrantserver.Fault{Trouble: qdrantserver.HoldAfter, Times: 2}),
		troubled("rate limit (429)", isOverload, qdrantserver.Fault{Err: qdrantserver.Exhausted()}),
		troubled("disk full", isTransient, qdrantserver.Fault{Err: qdrantserver.DiskFull(), Method: "Upsert"}),
		troubled("shard without a replica", isTransient, qdrantserver.Fault{Err: qdrantserver.Unavailable()}),
		Scenario{
			Part: part, Name: "restart", Expect: isTransient, Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				s.qdrant.Stop()
				return func(context.Context) error { return s.qdrant.Restart() }, nil
			},
		},
		Scenario{
			Part: part, Name: "restarted empty", Sort: Damage, Expect: "class schema: collections are made anew; verify finds what is missing, and repairs it",
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.emptyQdrant()
			},
		})
	return list
}

// emptyQdrant puts a new server in the place of the one that there is.
func (s *Store) emptyQdrant() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.qdrant.Stop()
	s.qdrant, err = qdrantserver.Start(qdrantserver.Options{Address: s.addr})
	return err
}

// nebulaScenarios are the faults of a NebulaGraph.
func nebulaScenarios() []Scenario {
	const part = nebula.Type
	writes := func(r string) bool { return strings.HasPrefix(r, "INSERT") || strings.HasPrefix(r, "DELETE") }
	login := func(r string) bool { return strings.HasPrefix(r, "AUTHENTICATE") }
	inject := func(name, expect string, fault nebulaserver.Fault) Scenario {
		return graphFault(name, expect, func(s *nebulaserver.Server) { s.Inject(fault) })
	}
	inPart := func(name, expect, text string) Scenario {
		return graphFault(name, expect, func(s *nebulaserver.Server) { s.InjectPart(nebulaserver.PartFault{Text: text, Times: 1000}) })
	}
	denied := graphFault("password refused, and mended", isDenied, func(s *nebulaserver.Server) {
		s.Inject(nebulaserver.Fault{Match: login, Times: 1000, Code: vesoft.ErrorCode_E_BAD_USERNAME_PASSWORD, Text: "Invalid password"})
		s.Restart()
	})
	denied.Slow, denied.Lasts = true, 500*time.Millisecond
	return append(network(storeLink(part)), damaged(part), denied,
		inject("answer lost after the write", isUnknown, nebulaserver.Fault{Match: writes, Drop: true, Execute: true, Times: 2}),
		inject("connection cut instead of a write", isUnknown, nebulaserver.Fault{Match: writes, Drop: true, Times: 2}),
		inject("writes slow", "it is slower, nothing else", nebulaserver.Fault{Match: writes, Delay: 100 * time.Millisecond, Times: 1000}),
		inPart("leader changed", isTransient, nebulaserver.LeaderChanged(1)),
		inPart("raft buffer full", isOverload, nebulaserver.BufferFull(1)),
		inPart("RPC failure to storaged", isUnknown, nebulaserver.RPCFailure),
		inPart("writes blocked by a snapshot", isTransient, nebulaserver.WriteBlocked),
		inPart("storaged out of memory", isOverload, nebulaserver.MemoryExceeded),
		inPart("disk cannot follow (write stalled)", isOverload, nebulaserver.WriteStalled),
		graphFault("one partition slow", "batches with keys of it are slower", func(s *nebulaserver.Server) {
			s.InjectPart(nebulaserver.PartFault{Part: 1, Delay: 100 * time.Millisecond, Times: 1000})
		}),
		graphFault("sessions expired", "a new session is begun", (*nebulaserver.Server).DropSessions),
		graphFault("restart", isTransient, (*nebulaserver.Server).Restart),
		Scenario{
			Part: part, Name: "vertices deleted behind our back", Expect: isFound, Sort: Damage,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.nGQL(ctx, "LOOKUP ON node WHERE node.outflow_slot >= 0 YIELD id(vertex) AS id | DELETE TAG node FROM $-.id")
			},
		},
		Scenario{
			Part: part, Name: "space dropped", Expect: "class schema: space, tags and edges are made anew; verify finds what is missing, and repairs it", Sort: Damage,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.nGQL(ctx, "DROP SPACE "+nebula.DefaultSpace)
			},
		})
}

// graphFault is a fault that the stand-in for NebulaGraph makes until it is healed.
func graphFault(name, expect string, begin func(*nebulaserver.Server)) Scenario {
	return Scenario{
		Part: nebula.Type, Name: name, Expect: expect, Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
			begin(s.nebula)
			return func(context.Context) error { s.nebula.Heal(); return nil }, nil
		},
	}
}

// nGQL runs a statement.
func (s *Store) nGQL(ctx context.Context, stmt string) error {
	c, err := nebulatest.Server{Addr: s.place().Address, User: "root", Password: "nebula"}.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Execute("USE "+nebula.DefaultSpace+"; "+stmt, nil)
	if err == nil && answer.GetErrorCode() != 0 {
		err = fmt.Errorf("%s: %s", stmt, answer.GetErrorMsg())
	}
	return err
}
