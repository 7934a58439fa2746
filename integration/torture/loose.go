package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
)

// The types of backends in this program.
const (
	looseType  = "loose"  // a client of the parent's store
	copiedType = "copied" // postgres, of whose requests the parent gets copies, to send them again much later
)

func init() {
	backends.Register(looseType, func(_ context.Context, c backends.Config) (backends.Backend, error) {
		width, _ := c.Settings["concurrency"].(int)
		return &client{url: fmt.Sprint(c.Settings["url"]), name: c.Name, concurrency: width, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}, nil
	})
	backends.Register(copiedType, func(ctx context.Context, c backends.Config) (backends.Backend, error) {
		inner := c
		inner.Type, inner.Settings = postgres.Type, map[string]any{"url": c.Settings["url"]}
		b, err := backends.Open(ctx, inner)
		if err != nil {
			return nil, err
		}
		return &copied{Backend: b, to: client{url: fmt.Sprint(c.Settings["copies"]), name: c.Name, http: &http.Client{}}}, nil
	})
}

// Headers of a request.
const (
	headerPID  = "Sender-Pid"
	headerSent = "Sent-At" // nanoseconds since the epoch
)

// writeRequest is what a client sends to be written.
type writeRequest struct {
	Backend string
	Kind    string
	Target  string
	Records []backends.Record
}

// writeAnswer has one element for each record: empty, or why it is refused.
type writeAnswer struct {
	Refused []string
	Hold    bool // ask whether to go on before anything else is sent
}

// client is the loose backend: the parent's store behind HTTP.
type client struct {
	url         string
	name        string
	http        *http.Client
	concurrency int
}

// Features promise nothing.
func (c *client) Features() backends.Features {
	return backends.Features{Recomputed: true, Concurrency: c.concurrency}
}

// Layout is one document.
func (c *client) Layout(t backends.Target) (backends.Layout, error) {
	return backends.DocLayout(t), nil
}

// Prepare has nothing to do.
func (c *client) Prepare(context.Context, []backends.Target) error { return nil }

// Health asks nothing.
func (c *client) Health(context.Context) error { return nil }

// Close closes the connections.
func (c *client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Write sends the records.
func (c *client) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	var answer writeAnswer
	if err := c.call(ctx, "/write", writeRequest{c.name, t.Kind, t.Name, records}, &answer); err != nil {
		return nil, err
	}
	if answer.Hold {
		if err := c.call(context.WithoutCancel(ctx), "/hold", writeRequest{}, &answer.Hold); err != nil {
			return nil, err
		}
	}
	results := make([]backends.Result, len(records))
	for i, why := range answer.Refused {
		if why != "" {
			results[i] = backends.Result{Outcome: backends.Failed, Err: &backends.Error{
				Op: "write", Backend: c.name, Kind: t.Kind, Key: records[i].Key, Class: backends.Rejected, Err: errors.New(why),
			}}
		}
	}
	return results, nil
}

// Scan reads everything in pages.
func (c *client) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	for after := ""; ; {
		var page []backends.Entry
		if err := c.call(ctx, "/scan", map[string]string{"target": c.name + " " + t.Name, "after": after}, &page); err != nil || len(page) == 0 {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
		after = page[len(page)-1].Key
	}
}

// Lookup reads the entries of keys.
func (c *client) Lookup(ctx context.Context, t backends.Target, keys []string) (entries []backends.Entry, err error) {
	err = c.call(ctx, "/lookup", map[string]any{"target": c.name + " " + t.Name, "keys": keys}, &entries)
	return entries, err
}

// call sends a request and reads the answer. What the store did is unknown unless it said so or was not reached.
func (c *client) call(ctx context.Context, path string, in, out any) error {
	fail := func(class backends.Class, err error) error {
		return &backends.Error{Op: path[1:], Backend: c.name, Class: class, Err: err}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fail(backends.Rejected, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return fail(backends.Rejected, err)
	}
	req.GetBody = nil // never sent twice by the library
	req.Header.Set(headerPID, strconv.Itoa(os.Getpid()))
	req.Header.Set(headerSent, strconv.FormatInt(time.Now().UnixNano(), 10))
	res, err := c.http.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return fail(backends.Transient, err)
		}
		return fail(backends.Unknown, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if class, ok := statuses[res.StatusCode]; ok {
		return fail(class, errors.New(res.Status))
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fail(backends.Unknown, err)
	}
	_, err = io.Copy(io.Discard, res.Body) // so that the connection is used again
	return err
}

var statuses = map[int]backends.Class{
	http.StatusServiceUnavailable:  backends.Transient,
	http.StatusTooManyRequests:     backends.Overload,
	http.StatusUnprocessableEntity: backends.Rejected,
}

// copied is a postgres backend that hands copies of its requests to the parent.
type copied struct {
	backends.Backend
	to client
}

// Write copies one request in eight, and then writes.
func (c *copied) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	if rand.IntN(8) == 0 {
		var done bool
		_ = c.to.call(ctx, "/copy", writeRequest{c.to.name, t.Kind, t.Name, records}, &done) // a copy may be lost
	}
	return c.Backend.Write(ctx, t, records)
}

// Close closes the connections.
func (c *copied) Close() error {
	c.to.http.CloseIdleConnections()
	return c.Backend.Close()
}
