package qdrant

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outflow-db/outflow/backends"
)

// state is what the server has of a target.
type state struct {
	info  *pb.CollectionInfo // nil: not there
	seen  string             // the collection that readers see; empty: none
	taken bool               // a collection is called as the alias shall be
}

// compare lists what differs between a collection and what is wanted of it; building are the collections of
// generations that are being filled, which readers see while one takes the place of another. What the server has
// and nobody asked for is left alone.
func (m *model) compare(s state, building []string) []backends.Change {
	c := comparison{m: m}
	if s.info == nil {
		c.note(backends.Create, "", "", m.collection)
	} else {
		c.config(flatConfig(m.config, m.indexes), flatConfig(asCreated(s.info.GetConfig()), s.info.PayloadSchema))
	}
	c.alias(s, building)
	return c.found
}

type comparison struct {
	m     *model
	found []backends.Change
}

func (c *comparison) note(what backends.ChangeKind, field, from, to string) {
	c.found = append(c.found, backends.Change{Target: c.m.target, What: what, Field: field, From: from, To: to})
}

// alias compares what readers see.
func (c *comparison) alias(s state, building []string) {
	if c.m.building {
		return
	}
	switch {
	case s.taken:
		c.note(backends.Rebuild, "alias", "a collection of this name", c.m.alias)
	case s.seen == "" && s.info != nil:
		c.note(backends.Create, "alias", "", c.m.collection)
	case s.seen == "": // it comes with the collection
	case s.seen != c.m.collection && !slices.Contains(building, s.seen):
		c.note(backends.Rebuild, "alias", s.seen, c.m.collection)
	}
}

// Texts of what is more than a value.
const (
	there = "there" // a part that has a name, such as a vector or an index, whatever is in it
	on    = "on"    // a part in which nothing is set
)

func (c *comparison) config(want, have map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		from, to := have[path], want[path]
		part := partOf(want, path)
		switch {
		case from == to, from == "" && strings.HasSuffix(path, ".datatype") && to == pb.Datatype_Float32.String():
		case part != "" && have[part] == "": // told with the whole
		case to == on && has(have, path):
		case to == there:
			c.note(wholeKind(path), path, "", there)
		default:
			c.note(kindOf(path), path, from, to)
		}
	}
	c.single(want, have)
}

// single finds vectors of which the collection keeps several for each point, and which shall be one.
func (c *comparison) single(want, have map[string]string) {
	for _, v := range c.m.dense {
		path := "vectors." + v.name + ".multivector_config"
		if has(have, path) && !has(want, path) {
			c.note(backends.Rebuild, path, on, "")
		}
	}
}

// has says whether there is something at a path or below it.
func has(flat map[string]string, path string) bool {
	if flat[path] != "" {
		return true
	}
	for other := range flat {
		if strings.HasPrefix(other, path+".") {
			return true
		}
	}
	return false
}

// partOf is the part that a path is in; empty: none. Names may have dots in them, so it is the longest that fits.
func partOf(want map[string]string, path string) string {
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if want[path[:i]] == there && want[path] != there {
			return path[:i]
		}
	}
	return ""
}

// wholeKind is what becomes of a part that is missing: indexes of the payload can be made at any time.
func wholeKind(path string) backends.ChangeKind {
	if strings.HasPrefix(path, "indexes.") {
		return backends.Alter
	}
	return backends.Rebuild
}

// fixed are the ends of what the server takes only when it makes a collection.
var fixed = []string{".size", ".distance", ".datatype", ".comparator", ".multivector_config"}

func kindOf(path string) backends.ChangeKind {
	if path == "shard_number" || strings.HasPrefix(path, "wal_config.") {
		return backends.Rebuild
	}
	vector := strings.HasPrefix(path, "vectors.") || strings.HasPrefix(path, "sparse.")
	if vector && slices.ContainsFunc(fixed, func(end string) bool { return strings.HasSuffix(path, end) }) {
		return backends.Rebuild
	}
	return backends.Alter
}

// asCreated is a configuration as the request that would make it.
func asCreated(c *pb.CollectionConfig) *pb.CreateCollection {
	p := c.GetParams()
	shards, onDisk := p.GetShardNumber(), p.GetOnDiskPayload()
	r := &pb.CreateCollection{
		VectorsConfig: p.GetVectorsConfig(), SparseVectorsConfig: p.GetSparseVectorsConfig(),
		ShardNumber: &shards, OnDiskPayload: &onDisk,
		ReplicationFactor: p.ReplicationFactor, WriteConsistencyFactor: p.WriteConsistencyFactor,
		HnswConfig: c.GetHnswConfig(), OptimizersConfig: c.GetOptimizerConfig(), WalConfig: c.GetWalConfig(),
		QuantizationConfig: c.GetQuantizationConfig(), StrictModeConfig: c.GetStrictModeConfig(),
	}
	if r.OptimizersConfig.GetMaxOptimizationThreads() == nil { // it says nothing where it is automatic
		o := &pb.OptimizersConfigDiff{MaxOptimizationThreads: automatic()}
		if old := r.OptimizersConfig.GetDeprecatedMaxOptimizationThreads(); old > 0 {
			o.MaxOptimizationThreads = &pb.MaxOptimizationThreads{Variant: &pb.MaxOptimizationThreads_Value{Value: old}}
		}
		if r.OptimizersConfig != nil {
			proto.Merge(o, r.OptimizersConfig)
		}
		r.OptimizersConfig = o
	}
	return r
}

// flatConfig is a configuration, and the indexes of the payload, as texts by path.
func flatConfig(r *pb.CreateCollection, indexes map[string]*pb.PayloadSchemaInfo) map[string]string {
	flat := map[string]string{}
	for path, v := range flatten("", r.ProtoReflect()) {
		switch {
		case strings.HasPrefix(path, "metadata."), path == "collection_name":
			continue
		case strings.HasPrefix(path, "vectors_config.params_map.map."):
			path = "vectors." + strings.TrimPrefix(path, "vectors_config.params_map.map.")
		case strings.HasPrefix(path, "sparse_vectors_config.map."):
			path = "sparse." + strings.TrimPrefix(path, "sparse_vectors_config.map.")
		}
		flat[path] = v
	}
	for field, info := range indexes {
		flat["indexes."+field] = there
		flat["indexes."+field+".type"] = strings.ToLower(info.DataType.String())
		for path, v := range flatten("", info.GetParams().ProtoReflect()) {
			_, parameter, _ := strings.Cut(path, ".") // without the kind
			flat["indexes."+field+"."+parameter] = v
		}
	}
	return flat
}

// flatten makes texts by path of what is set in a message.
func flatten(prefix string, m protoreflect.Message) map[string]string {
	flat := map[string]string{}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(field.Name())
		switch {
		case field.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				flat[path+"."+key.String()] = there
				maps.Copy(flat, flatten(path+"."+key.String()+".", v.Message()))
				return true
			})
		case field.Message() != nil && !field.IsList():
			part := flatten(path+".", v.Message())
			if len(part) == 0 {
				part[path] = on
			}
			maps.Copy(flat, part)
		default:
			flat[path] = textOf(field, v)
		}
		return true
	})
	return flat
}

// textOf is a value as one text.
func textOf(field protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case field.IsList():
		return v.String()
	case field.Kind() == protoreflect.EnumKind:
		return string(field.Enum().Values().ByNumber(v.Enum()).Name())
	case field.Kind() == protoreflect.FloatKind:
		return strconv.FormatFloat(v.Float(), 'g', -1, 32)
	default:
		return v.String()
	}
}
