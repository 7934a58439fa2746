package qdrantserver

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// catalog is what collections and aliases there are.
type catalog struct {
	mu          sync.RWMutex
	collections map[string]*collection
	aliases     map[string]string
}

func (d *catalog) init() {
	d.collections, d.aliases = map[string]*collection{}, map[string]string{}
}

// find is the collection of a name or an alias.
func (d *catalog) find(name string) (*collection, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if to, ok := d.aliases[name]; ok {
		name = to
	}
	if c := d.collections[name]; c != nil {
		return c, nil
	}
	return nil, notFound(name)
}

// checkName refuses what cannot be a directory.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > 255:
		return invalid("collection_name", "must be between 1 and 255 characters")
	case strings.ContainsAny(name, "<>:\"/\\|?*\x00\x1f"):
		return invalid("collection_name", "collection name cannot contain \"<\", \">\", \":\", \"\"\", \"/\", \"\\\", \"|\", \"?\", \"*\", \"\\0\" or \"\\u{1f}\" char")
	}
	return nil
}

// collection is one collection. Its configuration is guarded by the catalog's lock, its shards by their own.
type collection struct {
	name    string
	config  *pb.CollectionConfig
	state   pb.CollectionStatus
	trouble string
	shards  []*shard
	taken   *atomic.Int64 // whole points, of all collections

	mu     sync.RWMutex // for what follows
	schema map[string]*pb.PayloadSchemaInfo
}

func newCollection(name string, config *pb.CollectionConfig, taken *atomic.Int64) *collection {
	c := &collection{name: name, taken: taken, config: config, state: pb.CollectionStatus_Green, schema: map[string]*pb.PayloadSchemaInfo{}}
	for range max(config.Params.ShardNumber, 1) {
		c.shards = append(c.shards, newShard())
	}
	return c
}

// indexed is the kind of index that a field of the payload has.
func (c *collection) indexed(field string) pb.PayloadSchemaType {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.schema[field].GetDataType()
}

// info is what the server tells of the collection. The caller holds the catalog's lock.
func (c *collection) info() *pb.CollectionInfo {
	n := uint64(0)
	for _, s := range c.shards {
		n += uint64(s.count()) //nolint:gosec // not negative
	}
	info := &pb.CollectionInfo{
		Status: c.state, OptimizerStatus: &pb.OptimizerStatus{Ok: c.trouble == "", Error: c.trouble},
		SegmentsCount: uint64(2 * len(c.shards)), Config: clone(c.config),
		PointsCount: &n, IndexedVectorsCount: proto.Uint64(0), UpdateQueue: &pb.UpdateQueueInfo{},
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	info.PayloadSchema = map[string]*pb.PayloadSchemaInfo{}
	for field, s := range c.schema {
		s = clone(s)
		s.Points = new(n)
		info.PayloadSchema[field] = s
	}
	return info
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
