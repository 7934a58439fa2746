package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/outflow-db/outflow/backends/elasticsearch"
)

// elasticsearchScenarios are the faults of a real Elasticsearch.
func elasticsearchScenarios() []Scenario {
	const part = elasticsearch.Type
	k := storeLink(part)
	settings := func(name, expect, path, on, off string) Scenario {
		return Scenario{
			Part: part, Name: name, Expect: expect, Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				put := func(ctx context.Context, body string) error {
					return insist(ctx, func() error { return s.ask(ctx, http.MethodPut, s.path(path), body, nil) })
				}
				return func(ctx context.Context) error { return put(ctx, off) }, put(ctx, on)
			},
		}
	}
	list := append(network(k), k.loses("_bulk"), damaged(part),
		settings("disk at the flood stage (read-only-allow-delete block)", isTransient+", until there is room",
			"*/_settings", `{"index.blocks.read_only_allow_delete": true}`, `{"index.blocks.read_only_allow_delete": null}`),
		settings("heap short (parent circuit breaker)", isOverload, "/_cluster/settings",
			`{"persistent": {"indices.breaker.total.limit": "1kb"}}`, `{"persistent": {"indices.breaker.total.limit": null}}`),
		Scenario{
			Part: part, Name: "index deleted", Expect: "class schema: it is made anew; verify finds what is missing, and repairs it", Sort: Damage,
			Do: func(ctx context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return nil, s.deleteIndices(ctx)
			},
		},
		Scenario{
			Part: part, Name: "stands still for longer than a request (SIGSTOP)", Needs: OwnServer, Lasts: 2 * time.Second, Expect: isUnknown,
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return func(context.Context) error { return s.elastic.Thaw() }, s.elastic.Freeze()
			},
		},
		Scenario{
			Part: part, Name: "crash (SIGKILL)", Needs: OwnServer, Slow: true, Expect: isUnknown + "; what it had acknowledged is there",
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return s.elastic.Up, s.elastic.Kill()
			},
		},
		Scenario{
			Part: part, Name: "clean restart", Needs: OwnServer, Slow: true, Expect: isTransient,
			Do: func(_ context.Context, _ *Lab, s *Store) (func(context.Context) error, error) {
				return s.elastic.Up, s.elastic.Stop()
			},
		})
	blocked := settings("index blocked for writes by somebody", "class denied: the backend pauses, says why, is probed, and goes on without the block",
		"*/_settings", `{"index.blocks.write": true}`, `{"index.blocks.write": null}`)
	blocked.Slow = true
	return append(list, blocked)
}

// path is a path on the server; one that begins with no slash is about the lab's indices.
func (s *Store) path(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + s.prefix + path
}

// elasticClient keeps no connections: they would be taken for leaks.
var elasticClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}

// ask asks the server something, past the proxy.
func (s *Store) ask(ctx context.Context, method, path, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.place().Address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := elasticClient.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answered %s: %s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// deleteIndices deletes what the lab has made.
func (s *Store) deleteIndices(ctx context.Context) error {
	var indices map[string]json.RawMessage
	if err := s.ask(ctx, http.MethodGet, "/"+s.prefix+"*/_alias?expand_wildcards=all", "", &indices); err != nil {
		return err
	}
	var errs []error
	for name := range indices {
		errs = append(errs, s.ask(ctx, http.MethodDelete, "/"+name, "", nil))
	}
	return errors.Join(errs...)
}

// clean removes what the lab has made from a server that is somebody else's.
func (s *Store) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.deleteIndices(ctx)
}
