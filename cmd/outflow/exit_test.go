package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/migrations"
)

// Every kind of failure has its exit status, however deep it is wrapped.
func TestStatus(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for want, errs := range map[int][]error{
		exitOK:          {nil},
		exitNotWell:     {errors.New("x"), errDiffers, &backends.Error{Class: backends.Rejected}, &backends.Error{Class: backends.Schema}},
		exitUsage:       {usageError{errors.New("x")}, &config.Error{Problems: []config.Problem{{Text: "x"}}}, migrations.ErrPending},
		exitUnreachable: {refused, errDeaf, &backends.Error{Class: backends.Transient}, &backends.Error{Class: backends.Denied}},
		exitChanges:     {errChanges},
		exitInterrupted: {context.Canceled, errors.Join(refused, context.Canceled)},
	} {
		for _, err := range errs {
			wrapped := err
			if err != nil {
				wrapped = fmt.Errorf("doing something: %w", err)
			}
			if got := status(wrapped); got != want {
				t.Errorf("%v: got %d, want %d", wrapped, got, want)
			}
		}
	}
}

// A complaint is one line without secrets; what a verb has told already is not told again.
func TestComplaint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errDiffers, ""},
		{fmt.Errorf("x: %w", errDiffers), ""},
		{context.Canceled, "outflow: interrupted"},
		{errors.New("one\ntwo\n"), "outflow: one; two"},
		{errors.New("asking postgres://u:geheim@h/d: no"), "outflow: asking postgres://u:***@h/d: no"},
		{usageError{errors.New("want a file")}, "outflow: want a file"},
	} {
		if got := complaint(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

// What fails because the program was interrupted is told as that, not as what it looks like.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	a := &app{in: strings.NewReader(""), out: &out, err: &out}
	a.env = func(name string) (string, bool) { return "postgres://127.0.0.1:1/x", name == "DATABASE_URL" }
	if got := a.run(ctx, []string{"status"}); got != exitInterrupted || out.String() != "outflow: interrupted\n" {
		t.Errorf("got %d and %q", got, out.String())
	}
}
