package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
)

// Finish restores what the index was filled without, and waits until its copies can serve.
func (b *backend) Finish(ctx context.Context, t backends.Target) error {
	return b.concluding(ctx, "finish", t, func(ctx context.Context, m *model) error {
		_, err := b.finish(ctx, m)
		return err
	})
}

// Serve does what Finish does, makes all of the index visible and moves the alias.
func (b *backend) Serve(ctx context.Context, t backends.Target) error {
	return b.concluding(ctx, "serve", t, b.serve)
}

// concluding does something with a generation that is not being filled any more.
func (b *backend) concluding(ctx context.Context, op string, t backends.Target, do func(context.Context, *model) error) error {
	t.Building = false
	m, err := b.model(t)
	if err != nil {
		return err
	}
	if err := do(ctx, m); err != nil {
		return b.classifyFor(op, t, err)
	}
	return nil
}

// finish brings the index to what it is served with, and answers how it was found.
func (b *backend) finish(ctx context.Context, m *model) (state, error) {
	s, err := b.look(ctx, m)
	if err != nil {
		return s, err
	}
	if s.taken {
		e := b.fail("serve", backends.Schema, fmt.Errorf("an index is called %s, as the alias shall be", m.alias))
		e.Advice = "delete that index, or give the projection another target"
		return s, e
	}
	changes := slices.DeleteFunc(m.compare(s, nil), func(c backends.Change) bool { return c.Field == "alias" })
	if err := b.impossible(m, changes); err != nil {
		return s, err
	}
	if err := b.mend(ctx, m, changes); err != nil {
		return s, err
	}
	return s, b.copied(ctx, m.index)
}

func (b *backend) serve(ctx context.Context, m *model) error {
	s, err := b.finish(ctx, m)
	if err != nil {
		return err
	}
	if err := b.refresh(ctx, m.index); err != nil {
		return err
	}
	actions := []any{add(m.index, m.alias)}
	for _, other := range s.carriers {
		if other != m.index {
			actions = append(actions, map[string]any{"remove": map[string]any{"index": other, "alias": m.alias}})
		}
	}
	return b.aliases(ctx, actions)
}

// copied waits until every copy of the index that has a node to be on can serve.
func (b *backend) copied(ctx context.Context, index string) error {
	var health struct {
		Initializing int `json:"initializing_shards"`
	}
	for {
		yes := true
		err := b.ask(ctx, esapi.ClusterHealthRequest{
			Index: []string{index}, WaitForStatus: "yellow", WaitForNoInitializingShards: &yes, Timeout: 10 * time.Second,
		}, &health)
		if e, ok := errors.AsType[*answerError](err); !ok || e.status != http.StatusRequestTimeout {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (b *backend) refresh(ctx context.Context, index string) error {
	return b.ask(ctx, esapi.IndicesRefreshRequest{Index: []string{index}}, nil)
}

// Drop deletes the index of a generation.
func (b *backend) Drop(ctx context.Context, t backends.Target) error {
	n, err := b.names(t)
	if err != nil {
		return err
	}
	if err := b.drop(ctx, n); err != nil {
		return b.classifyFor("drop", t, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.indices = slices.DeleteFunc(b.indices, func(name string) bool { return name == n.index })
	return nil
}

func (b *backend) drop(ctx context.Context, n names) error {
	yes := true
	found := map[string]*indexState{}
	err := b.ask(ctx, esapi.IndicesGetAliasRequest{Index: []string{n.index}, IgnoreUnavailable: &yes}, &found)
	if e, ok := errors.AsType[*answerError](err); ok && e.status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if s := found[n.index]; s != nil && slices.Contains(slices.Collect(maps.Keys(s.Aliases)), n.alias) {
		e := b.fail("drop", backends.Rejected, fmt.Errorf("index %s is the one that readers of %s see", n.index, n.alias))
		e.Advice = "let another generation take its place first"
		return e
	}
	return b.ask(ctx, esapi.IndicesDeleteRequest{Index: []string{n.index}, IgnoreUnavailable: &yes}, nil)
}
