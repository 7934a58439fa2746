package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"riverqueue.com/riverui"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/local"
)

// Default is where a console listens that is not told where.
const Default = "127.0.0.1:8317"

// Config is what a console needs.
type Config struct {
	Listen   string // host:port; a port of 0 is any
	User     string // with Password: credentials that a browser asks for
	Password string
	Token    string // a bearer token, which does as well

	Pool    *pgxpool.Pool                      // the engine's: the console shows its use, and makes a small pool like it for itself
	Metrics *Metrics                           // the engine's observer
	Running func() bool                        // whether the engine runs
	Status  func(context.Context) (any, error) // what /status shows, as JSON
	Alerts  alerts.Settings                    // bounds of predictions, and where the runbook is
	Version string                             // of the program

	Endpoints func() map[string][]backends.Endpoint // those of the engine's stores, by backend; nil: they are not shown

	Logger *slog.Logger // nil: discarded
}

// problems lists what is wrong with the addresses and the credentials.
func (c Config) problems() error {
	loopback, err := local.Listen(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("the console cannot listen: %w", err)
	case (c.User == "") != (c.Password == ""):
		return errors.New("the console needs a user and a password, or neither")
	case !loopback && c.Password == "" && c.Token == "":
		return fmt.Errorf("the console would listen at %s, where others reach it: give it a user and a password, or a token, or let it listen at %s", c.Listen, Default)
	}
	return nil
}

// Console is a server that listens.
type Console struct {
	c        Config
	pool     *pgxpool.Pool // its own: an engine at work must not keep it waiting
	listener net.Listener
	server   *http.Server
	river    *riverui.Handler
}

// poolSize is how many connections a console uses at most. It keeps none for long.
const poolSize = 3

// Open checks the configuration and begins to listen. A port that is taken is an error. The caller calls Run, or
// Close if it does not.
func Open(ctx context.Context, c Config) (_ *Console, err error) {
	if err := c.problems(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Console{c: c}
	if k.pool, err = ownPool(ctx, c.Pool); err != nil {
		return nil, err
	}
	if err := k.serveAt(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// ownPool makes a small pool to the database of another.
func ownPool(ctx context.Context, like *pgxpool.Pool) (*pgxpool.Pool, error) {
	config := like.Config()
	config.MaxConns, config.MinConns, config.MinIdleConns, config.MaxConnIdleTime = poolSize, 0, 0, 30*time.Second
	config.ConnConfig.RuntimeParams["application_name"] = "outflow console"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("making the console's pool: %w", err)
	}
	return pool, nil
}

// serveAt makes the handlers and listens.
func (k *Console) serveAt(ctx context.Context) (err error) {
	if k.river, err = newRiverUI(k.pool, k.c.Logger); err != nil {
		return err
	}
	handler, err := k.handler()
	if err != nil {
		return err
	}
	k.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(k.c.Logger.Handler(), slog.LevelDebug),
	}
	if k.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", k.c.Listen); err != nil {
		return fmt.Errorf("the console cannot listen at %s: %w", k.c.Listen, err)
	}
	return nil
}

// URL is where the console is.
func (k *Console) URL() string { return "http://" + k.listener.Addr().String() + "/" }

// Run serves until ctx ends, lets requests under way end for five seconds, and closes the console. It fails if the
// server does.
func (k *Console) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, k.Close()) }()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := k.river.Start(background); err != nil {
		return fmt.Errorf("starting River UI: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- k.server.Serve(k.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the console: %w", err)
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(background, 5*time.Second)
	defer cancel()
	if err := k.server.Shutdown(bye); err != nil {
		err = k.server.Close() // requests that do not end are cut
		return errors.Join(err, ignoreClosed(<-failed))
	}
	return ignoreClosed(<-failed)
}

// ignoreClosed is err unless it says that the server was shut down.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close closes a console that does not run. It is called by Run.
func (k *Console) Close() error {
	var err error
	if k.listener != nil {
		if err = k.listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil // by the server
		}
	}
	k.pool.Close()
	return err
}
