package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/pgserver"
)

// demoName is the database that the demo makes on a server that it was given.
const (
	demoName = "outflow_demo"
	demoMark = "made by outflow demo, which deletes it"
)

// demoDatabase is where the demo works.
type demoDatabase struct {
	url     string // may hold a password
	about   string // for the user
	private bool   // the server is the demo's own, and ends with it
	close   func() error
}

// demoServer makes the demo's database: on the server that is configured, else on a private one.
func (a *app) demoServer(ctx context.Context) (*demoDatabase, error) {
	given := a.database
	if given == "" {
		given, _ = a.env("DATABASE_URL")
	}
	if given != "" {
		return demoOn(ctx, given)
	}
	started := time.Now()
	server, err := pgserver.Start(ctx, pgserver.Config{Settings: map[string]string{
		"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "jit": "off",
	}})
	if err != nil {
		return nil, err
	}
	d := &demoDatabase{url: server.URL("postgres"), private: true, close: server.Stop}
	version, err := serverVersion(ctx, d.url)
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	d.about = fmt.Sprintf("PostgreSQL %s, a private server, started in %s", version, span(time.Since(started)))
	return d, nil
}

// demoOn makes the demo's database on a running server, in place of one that an earlier demo has left there.
func demoOn(ctx context.Context, given string) (*demoDatabase, error) {
	var made string
	err := demoAdmin(ctx, given, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, `select coalesce(shobj_description(oid, 'pg_database'), '') from pg_database where datname = $1`, demoName).Scan(&made)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return err
		case made != demoMark:
			return fmt.Errorf("the server has a database %s that no demo made: rename it, or unset DATABASE_URL", demoName)
		default:
			if _, err := conn.Exec(ctx, "drop database "+demoName+" with (force)"); err != nil {
				return err
			}
		}
		if _, err := conn.Exec(ctx, "create database "+demoName); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "comment on database "+demoName+" is '"+demoMark+"'")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making the demo's database: %w", err)
	}
	d := &demoDatabase{url: withDatabase(given, demoName), close: func() error { return dropDemo(context.WithoutCancel(ctx), given) }}
	version, err := serverVersion(ctx, d.url)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.about = fmt.Sprintf("PostgreSQL %s, database %s, dropped at the end", version, demoName)
	return d, nil
}

// dropDemo drops the demo's database.
func dropDemo(ctx context.Context, given string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := demoAdmin(ctx, given, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database if exists "+demoName+" with (force)")
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping the demo's database: %w", err)
	}
	return nil
}

// demoAdmin calls fn with a connection to the server that was given.
func demoAdmin(ctx context.Context, given string, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, given)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fn(conn)
}

// withDatabase is the address of another database of the same server.
func withDatabase(given, name string) string {
	u, err := url.Parse(given)
	if err != nil || u.Scheme == "" {
		return given + " dbname=" + name // of keywords, the last one counts
	}
	u.Path = "/" + name
	return u.String()
}

func serverVersion(ctx context.Context, address string) (version string, err error) {
	pool, err := connect(ctx, address, 1)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	err = pool.QueryRow(ctx, "select split_part(current_setting('server_version'), ' ', 1)").Scan(&version)
	return version, err
}
