package faults_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/integration/faults"
	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/jobs"
)

// texts is a crowd whose store is an Elasticsearch behind a proxy.
type texts struct {
	*crowd
	proxy *faults.Proxy
}

func newTexts(t *testing.T, address, prefix string) *texts {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	x := &texts{proxy: faults.New(t, u.Host)}
	u.Host = x.proxy.Addr()
	one := map[string]any{"replicas": 0}
	x.crowd = newCrowd(t,
		backends.Config{Name: "search", Type: elasticsearch.Type, Settings: map[string]any{"addresses": u.String(), "prefix": prefix}},
		jobs.Projection{Kind: "node", Backend: "search", Target: "node", Query: nodeQuery, Settings: one},
		jobs.Projection{Kind: "link", Backend: "search", Target: "link", Query: linkQuery, Settings: one})
	return x
}

// Random writers, and a connection that is cut, freezes and is refused: in the end verify finds what PostgreSQL has.
func TestEngineElasticsearchNetwork(t *testing.T) {
	t.Parallel()
	x := newTexts(t, estest.URL(t), estest.Prefix(t))
	x.storm(5, func(i int) {
		[]func(){
			x.proxy.Cut, x.proxy.Freeze, func() { x.proxy.CutAfter(3000) }, func() { x.proxy.Refuse(true) }, func() { x.proxy.LoseAnswer("_bulk") },
		}[i%5]()
	}, func() {
		x.proxy.Thaw()
		x.proxy.Refuse(false)
		x.proxy.CutAfter(0)
	})
}

// A server that is killed and frozen for 20 s each while many write gets everything when it is back.
func TestEngineElasticsearchKilled(t *testing.T) {
	t.Parallel()
	const outage = 20 * time.Second
	server := estest.Start(t, esserver.Config{})
	x := newTexts(t, server.URL(), "")
	x.wait(x.change())
	x.storm(2, func(i int) {
		switch i {
		case 0:
			if err := server.Freeze(); err != nil {
				t.Error(err)
			}
			rest(t.Context(), outage)
			if err := server.Thaw(); err != nil {
				t.Error(err)
			}
		case 1:
			if err := server.Kill(); err != nil {
				t.Error(err)
			}
			rest(t.Context(), outage)
			if err := server.Up(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}, func() {})
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// An index with another mapping is filled beside under constant writes and deletes; readers by the alias get an answer all
// the time, and in the end the new index.
func TestReindexing(t *testing.T) {
	t.Parallel()
	prefix := estest.Prefix(t)
	x := newTexts(t, estest.URL(t), prefix)
	for range 10 {
		x.change()
	}
	x.settled()
	stop := x.writers()
	defer stop()
	x.c.Projections[0].Settings = map[string]any{"replicas": 0, "shards": 2, "fields": map[string]any{"v": map[string]any{"type": "keyword"}}}
	if err := jobs.BeginRebuild(t.Context(), x.c, "search", "node"); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	read := make(chan error, 1)
	go func() { read <- reading(t.Context(), estest.URL(t)+"/"+prefix+"node/_count", over) }()
	x.until(`select generation = 2 from outbox.projections where kind = 'node'`)
	x.run()
	x.until(`select dropping is null from outbox.projections where kind = 'node'`)
	close(over)
	if err := <-read; err != nil {
		t.Error(err)
	}
	stop()
	x.settled()
}

// reading asks again and again until over, and fails when it gets no answer.
func reading(ctx context.Context, address string, over <-chan struct{}) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-over:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			return &url.Error{Op: "read", URL: resp.Status, Err: http.ErrMissingFile}
		}
	}
}
