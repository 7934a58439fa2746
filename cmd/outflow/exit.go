package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/migrations"
)

// The exit statuses of every verb. A verb's help says which of them it uses, and for what.
const (
	exitOK          = 0
	exitNotWell     = 1   // it ran, and something is wrong: differences, rejected input, a statement that PostgreSQL refused
	exitUsage       = 2   // the command line, the configuration or the set-up is wrong: nothing was done
	exitUnreachable = 3   // PostgreSQL or a store could not be reached, or let nobody in
	exitChanges     = 4   // asked whether there is something to do, it says yes
	exitInterrupted = 130 // a signal ended it before it was done
)

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// errDiffers says that a verb has already told what is wrong: only the exit status is left.
var errDiffers = errors.New("not well")

// errDeaf and errChanges have been told as well, and have exit statuses of their own.
var (
	errDeaf    = fmt.Errorf("a store cannot be reached: %w", errDiffers)
	errChanges = fmt.Errorf("there is something to do: %w", errDiffers)
)

// status is the exit status for what a verb returned.
func status(err error) int {
	_, usage := errors.AsType[usageError](err)
	_, configuration := errors.AsType[*config.Error](err)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case usage || configuration || errors.Is(err, migrations.ErrPending):
		return exitUsage
	case errors.Is(err, errChanges):
		return exitChanges
	case errors.Is(err, errDeaf) || unreachable(err):
		return exitUnreachable
	default:
		return exitNotWell
	}
}

// unreachable says whether err is about a server that is not there, or does not let us in.
func unreachable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	e, ok := errors.AsType[*backends.Error](err)
	return ok && (e.Class == backends.Transient || e.Class == backends.Denied)
}

// complaint is what to tell the user about err: a line, or one for each problem of a configuration. It is empty
// when nothing is left to tell.
func complaint(err error) string {
	if err == nil || errors.Is(err, errDiffers) {
		return ""
	}
	if errors.Is(err, context.Canceled) {
		return "outflow: interrupted"
	}
	if e, ok := errors.AsType[*config.Error](err); ok {
		return "outflow: the configuration is wrong:\n" + e.Error()
	}
	text := err.Error()
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		text = refusal(e)
	}
	return "outflow: " + config.Redact(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// refusal says in one line which server did not answer, and why.
func refusal(e *pgconn.ConnectError) string {
	c := e.Config
	at := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		at = c.Host
	}
	return fmt.Sprintf("cannot connect to PostgreSQL at %s, database %q, user %q: %s (it is set by database in the configuration, DATABASE_URL or --database)",
		at, c.Database, c.User, cause(e))
}

// cause is the innermost reason of err, of several the first.
func cause(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Message
	}
	for {
		next := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
			next = joined.Unwrap()[0]
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
