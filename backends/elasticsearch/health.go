package elasticsearch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
)

const healthTimeout = 5 * time.Second

// Health asks for the cluster's state, and whether a full disk has switched writes off.
func (b *backend) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var cluster struct {
		Status     string `json:"status"`
		Unassigned int    `json:"unassigned_primary_shards"`
	}
	local := false
	err := b.ask(ctx, esapi.ClusterHealthRequest{Local: &local, FilterPath: []string{"status", "unassigned_primary_shards"}}, &cluster)
	if err == nil && cluster.Status == "red" {
		e := b.fail("health", backends.Transient, fmt.Errorf("the cluster is red: %d primary shards have no node", cluster.Unassigned))
		e.Advice = "see GET _cluster/allocation/explain: bring the node back that has them, or restore the index"
		return e
	}
	if err == nil {
		err = b.blocked(ctx)
	}
	if err != nil {
		return b.classify("health", err)
	}
	return nil
}

// blocked is an error when an index takes no writes.
func (b *backend) blocked(ctx context.Context) error {
	b.mu.Lock()
	indices := slices.Clone(b.indices)
	b.mu.Unlock()
	if len(indices) == 0 {
		return nil
	}
	yes := true
	found := map[string]struct {
		Settings map[string]string `json:"settings"`
	}{}
	err := b.ask(ctx, esapi.IndicesGetSettingsRequest{
		Index: indices, Name: []string{"index.blocks.*"}, FlatSettings: &yes, IgnoreUnavailable: &yes,
	}, &found)
	if err != nil {
		return err
	}
	for name, index := range found {
		for block, on := range index.Settings {
			if on == "true" && block != "index.blocks.metadata" && block != "index.blocks.read" {
				return b.block(name, strings.TrimPrefix(block, "index.blocks."))
			}
		}
	}
	return nil
}

func (b *backend) block(index, block string) error {
	e := b.fail("health", backends.Transient, fmt.Errorf("index %s has the block %s", index, block))
	e.Advice = "take the block off: see index.blocks in its settings"
	if block == "read_only_allow_delete" {
		e.Err = fmt.Errorf("index %s takes no writes, because a disk is full (flood stage)", index)
		e.Advice = "give the server's disks space: it takes writes again when they are below the high watermark"
	}
	return e
}

// statusOf is a status for a failure that has none of its own.
func statusOf(c *cause) int {
	if strings.HasSuffix(c.Type, "not_found_exception") {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}
