package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// classify makes an *Error of what pgx returned. An error that is one already stays.
func (b *backend) classify(op string, err error) *backends.Error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		return e
	}
	e := b.fail(op, classOf(err), err)
	e.Advice = advice(err)
	return e
}

// classifyFor is classify for one target.
func (b *backend) classifyFor(op string, t backends.Target, err error) *backends.Error {
	e := b.classify(op, err)
	e.Kind = t.Kind
	return e
}

func classOf(err error) backends.Class {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classOfCode(e.Code)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return backends.Transient
	}
	if _, ok := errors.AsType[*endpoints.DownError](err); ok || errors.Is(err, errStandby) {
		return backends.Transient
	}
	if pgconn.SafeToRetry(err) {
		return backends.Transient
	}
	return backends.Unknown
}

// classOfCode is the class of an error that the server told.
func classOfCode(code string) backends.Class {
	switch code {
	case pgerrcode.StatementCompletionUnknown, pgerrcode.TransactionResolutionUnknown:
		return backends.Unknown
	case pgerrcode.InsufficientPrivilege:
		return backends.Denied
	case pgerrcode.ReadOnlySQLTransaction, pgerrcode.LockNotAvailable, pgerrcode.ObjectInUse:
		return backends.Transient
	}
	if len(code) < 2 {
		return backends.Unknown
	}
	switch code[:2] {
	case "28":
		return backends.Denied
	case "53":
		return backends.Overload
	case "3D", "3F", "42":
		return backends.Schema
	case "0A", "21", "22", "23", "44", "54", "P0":
		return backends.Rejected
	default: // 08, 25, 40, 55, 57, 58, XX: the server's own troubles
		return backends.Transient
	}
}

// advice is more exact than the class's own, where that is possible.
func advice(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ""
	}
	if _, ok := errors.AsType[*endpoints.DownError](err); ok {
		return endpoints.Advice
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ""
	}
	switch e.Code {
	case pgerrcode.ProgramLimitExceeded:
		return "an edge's key or the record is longer than PostgreSQL can index: shorten it in the projection's query"
	case pgerrcode.TooManyConnections:
		return "the server has no free connection: lower the setting connections, or raise the server's max_connections"
	case pgerrcode.DiskFull:
		return "the server's disk is full: give it space"
	case pgerrcode.InvalidCatalogName:
		return "the database does not exist: create it, or correct the setting url"
	}
	return ""
}
