package qdrant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/outflow-db/outflow/backends"
)

// Every failure has a class, and advice where there is better than the class's own.
func TestJudge(t *testing.T) {
	t.Parallel()
	said := func(code codes.Code, message string) error {
		return &callError{code: code, message: message, sent: true, answered: true}
	}
	lost := func(code codes.Code, message string, sent bool) error {
		return &callError{code: code, message: message, sent: sent}
	}
	for _, c := range []struct {
		err    error
		class  backends.Class
		advice string
	}{
		{said(codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: 4, got 3"), backends.Rejected, "size"},
		{said(codes.InvalidArgument, "Wrong input: Not existing vector name error: x"), backends.Rejected, "rebuild"},
		{said(codes.InvalidArgument, "Bad request: Upsert size limit exceeded"), backends.Rejected, "strict_mode_config"},
		{said(codes.InvalidArgument, "Wrong input: other"), backends.Rejected, "mend the value"},
		{said(codes.NotFound, "Not found: Collection `x` doesn't exist!"), backends.Schema, "repair"},
		{said(codes.Unauthenticated, "Invalid API key or JWT"), backends.Denied, "api_key"},
		{said(codes.PermissionDenied, "Forbidden"), backends.Denied, "rights"},
		{said(codes.Unimplemented, "unknown method"), backends.Denied, "gRPC port"},
		{said(codes.ResourceExhausted, "Rate limiting exceeded"), backends.Overload, "write_rate_limit"},
		{said(codes.ResourceExhausted, "grpc: received message larger than max"), backends.Overload, "receive_bytes"},
		{lost(codes.ResourceExhausted, "grpc: received message larger than max", true), backends.Overload, "receive_bytes"},
		{said(codes.DeadlineExceeded, "Timeout"), backends.Unknown, ""},
		{said(codes.Internal, "Service internal error: No space left on device"), backends.Transient, "disk space"},
		{said(codes.Internal, "failed to decode Protobuf message: recursion limit reached"), backends.Rejected, "cannot read"},
		{said(codes.Internal, "Service internal error: Out of memory, free: 1"), backends.Overload, "memory"},
		{said(codes.Internal, "Service internal error: task panicked"), backends.Unknown, "log"},
		{said(codes.Unavailable, "Shard temporarily unavailable"), backends.Transient, ""},
		{said(codes.FailedPrecondition, "Storage locked"), backends.Transient, ""},
		{said(codes.DataLoss, "strange"), backends.Unknown, ""},
		{lost(codes.Unavailable, "connection error: connection refused", false), backends.Transient, "addresses"},
		{lost(codes.Unavailable, "error reading from server: EOF", true), backends.Unknown, ""},
		{lost(codes.Canceled, "context canceled", false), backends.Transient, ""},
		{lost(codes.Internal, "grpc: error while marshaling: invalid UTF-8", false), backends.Rejected, "UTF-8"},
		{lost(codes.Unavailable, "tls: failed to verify certificate: x509: unknown authority", false), backends.Denied, "tls.ca"},
		{lost(codes.Unavailable, "tls: first record does not look like a TLS handshake", false), backends.Denied, "setting tls"},
		{lost(codes.Unavailable, "remote error: tls: certificate required", true), backends.Denied, "tls.certificate"},
		{context.Canceled, backends.Unknown, ""},
		{errors.New("strange"), backends.Unknown, ""},
	} {
		class, advice := judge(c.err)
		if class != c.class || !strings.Contains(advice, c.advice) {
			t.Errorf("%v: got %s, %q; want %s, %q", c.err, class, advice, c.class, c.advice)
		}
	}
}

// What the server asks for is kept, up to a minute.
func TestHold(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := &backend{name: "vectors", now: func() time.Time { return now }}
	if err := b.held(); err != nil {
		t.Error(err)
	}
	_ = b.classify("write", &callError{code: codes.ResourceExhausted, answered: true, retryAfter: time.Hour})
	if err := b.held(); backends.ClassOf(err) != backends.Overload || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("got %v", err)
	}
	now = now.Add(longestHold)
	if err := b.held(); err != nil {
		t.Error(err)
	}
}
