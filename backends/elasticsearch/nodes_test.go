package elasticsearch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
)

// node is what answers at an address: well, or as told.
type node struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		if h := n.answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		_, _ = w.Write([]byte(`{"status": "green"}`))
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *node) says(status int, body string) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	n.answer.Store(&h)
}

func between(t *testing.T, nodes ...*node) *backend {
	t.Helper()
	var addresses []any
	for _, n := range nodes {
		addresses = append(addresses, n.URL)
	}
	b, err := open(backends.Config{Name: "search", Type: Type, Settings: map[string]any{"addresses": addresses}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *backend) states() string {
	var s strings.Builder
	for _, e := range b.Endpoints() {
		s.WriteByte(e.State[0])
	}
	return s.String()
}

// A node that says that it cannot serve, or gives no answer, is left alone, and the next one is asked; when a probe
// finds it well, it is preferred again.
func TestNodes(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*node){
		"a proxy without it": func(n *node) { n.says(http.StatusBadGateway, "<html>") },
		"no master": func(n *node) {
			n.says(http.StatusServiceUnavailable, `{"error": {"type": "cluster_block_exception", "reason": "blocked by: [SERVICE_UNAVAILABLE/2/no master];"}}`)
		},
		"no answer": func(n *node) {
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			n.answer.Store(&h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := newNode(t), newNode(t)
			b := between(t, one, two)
			trouble(one)
			for range 3 {
				if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient && backends.ClassOf(err) != backends.Unknown {
					t.Errorf("got %v", err)
				}
			}
			if got := b.states(); got != "du" {
				t.Fatalf("the nodes are %s", got)
			}
			if err := b.Health(t.Context()); err != nil || two.asked.Load() != 1 {
				t.Errorf("got %v, the second was asked %d times", err, two.asked.Load())
			}
			if err := b.Probe(t.Context(), one.URL); err == nil {
				t.Error("a probe says that it is well")
			}
			one.answer.Store(nil)
			if err := b.Probe(t.Context(), one.URL); err != nil {
				t.Error(err)
			}
			if err := b.Health(t.Context()); err != nil || two.asked.Load() != 1 || b.states() != "uu" {
				t.Errorf("got %v, the second was asked %d times", err, two.asked.Load())
			}
		})
	}
}

// What a store refuses, and what its caller gives up, is no fault of the node.
func TestNodesStayUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"a shard is missing": {http.StatusServiceUnavailable, `{"error": {"type": "unavailable_shards_exception", "reason": "x"}}`},
		"overload":           {http.StatusTooManyRequests, `{"error": {"type": "es_rejected_execution_exception", "reason": "x"}}`},
		"not allowed":        {http.StatusForbidden, `{"error": {"type": "security_exception", "reason": "x"}}`},
		"a full disk":        {http.StatusTooManyRequests, `{"error": {"type": "cluster_block_exception", "reason": "disk usage exceeded flood-stage watermark"}}`},
		"a bad request":      {http.StatusBadRequest, `{"error": {"type": "mapper_parsing_exception", "reason": "x"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			b := between(t, n)
			n.says(c.status, c.body)
			for range 5 {
				if err := b.ask(t.Context(), esapi.InfoRequest{}, nil); err == nil {
					t.Error("there is no error")
				}
			}
			if got := b.states(); got != "u" {
				t.Errorf("the node is %s", got)
			}
		})
	}
	n := newNode(t)
	b := between(t, n)
	arrived := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-r.Context().Done() })
	n.answer.Store(&h)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.ask(ctx, esapi.InfoRequest{}, nil) }()
		<-arrived
		cancel()
		if err := <-done; err == nil {
			t.Error("there is no error")
		}
	}
	if got := b.states(); got != "u" {
		t.Errorf("after requests that were given up the node is %s", got)
	}
}
