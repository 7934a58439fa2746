package qdrant

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/settings"
)

// model is what a target's settings and columns make of its collection.
type model struct {
	names
	target   string // as Target.Name
	kind     string
	building bool
	ids      ids
	resend   bool     // vectors with every change
	payload  []string // columns
	raw      []string // columns
	dense    []dense
	sparse   []sparse
	config   *pb.CreateCollection // as it shall be
	indexes  map[string]*pb.PayloadSchemaInfo
}

// dense is a vector, or several, from one column.
type dense struct {
	name string
	at   int // in raw
	read func([]byte) (matrix, error)
	*pb.VectorParams
}

// sparse is a sparse vector, from two columns or one.
type sparse struct {
	name            string
	indices, values int // in raw; the same for one column that holds both
	*pb.SparseVectorParams
}

// modelReader reads the settings of a target.
type modelReader struct {
	*settings.Reader
	m       *model
	columns map[string]backends.Column
}

// model reads the target's settings: vectors, sparse, indexes, id, resend_vectors, and those that are the server's own.
func (b *backend) model(t backends.Target) (*model, error) {
	n, err := b.names(t)
	if err != nil {
		return nil, err
	}
	m := &model{names: n, target: t.Name, kind: t.Kind, building: t.Building, indexes: map[string]*pb.PayloadSchemaInfo{}}
	r := modelReader{settings.New(t.Settings), m, map[string]backends.Column{}}
	for _, c := range t.Columns {
		r.columns[c.Name] = c
		if strings.HasPrefix(c.Name, reserved) {
			r.Fail("vectors", fmt.Sprintf("cannot be beside column %s: names that begin with %s are taken, so give the column another in the query", c.Name, reserved))
		}
	}
	m.config = r.readConfig()
	r.readVectors()
	r.readSparse()
	for _, c := range t.Columns {
		if !slices.Contains(m.raw, c.Name) {
			m.payload = append(m.payload, c.Name)
		}
	}
	r.readIndexes()
	m.ids = newIDs(t.Kind, r.readID())
	m.resend = r.Bool("resend_vectors", true)
	if err := r.Err(); err != nil {
		e := b.failFor("layout", t, backends.Rejected, err)
		e.Advice = "mend the target's settings: see docs/qdrant.md"
		return nil, e
	}
	m.complete()
	return m, nil
}

// complete puts what was read into the configuration, with what is ours.
func (m *model) complete() {
	m.config.CollectionName = m.collection
	m.config.VectorsConfig = pb.NewVectorsConfigMap(map[string]*pb.VectorParams{})
	for _, v := range m.dense {
		m.config.VectorsConfig.GetParamsMap().Map[v.name] = v.VectorParams
	}
	if len(m.sparse) > 0 {
		m.config.SparseVectorsConfig = pb.NewSparseVectorsConfig(map[string]*pb.SparseVectorParams{})
		for _, v := range m.sparse {
			m.config.SparseVectorsConfig.Map[v.name] = v.SparseVectorParams
		}
	}
	m.config.Metadata = map[string]*pb.Value{"outflow_kind": pb.NewValueString(m.kind)}
	if m.config.OptimizersConfig == nil {
		m.config.OptimizersConfig = &pb.OptimizersConfigDiff{}
	}
	o := m.config.OptimizersConfig
	switch {
	case m.building: // nothing is indexed while it is filled
		o.MaxOptimizationThreads = &pb.MaxOptimizationThreads{Variant: &pb.MaxOptimizationThreads_Value{Value: 0}}
	case o.MaxOptimizationThreads == nil:
		o.MaxOptimizationThreads = automatic()
	}
	m.indexes[keyField] = &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Keyword}
	m.indexes[versionField] = &pb.PayloadSchemaInfo{DataType: pb.PayloadSchemaType_Integer, Params: &pb.PayloadIndexParams{
		IndexParams: &pb.PayloadIndexParams_IntegerIndexParams{IntegerIndexParams: &pb.IntegerIndexParams{Lookup: new(false), Range: new(true)}},
	}}
}

func automatic() *pb.MaxOptimizationThreads {
	return &pb.MaxOptimizationThreads{Variant: &pb.MaxOptimizationThreads_Setting_{Setting: pb.MaxOptimizationThreads_Auto}}
}

// Settings of the collection that have the server's names: counts, and what is passed on as it is.
var (
	countSettings  = []string{"shard_number", "replication_factor", "write_consistency_factor"}
	serverSettings = []string{"hnsw_config", "optimizers_config", "quantization_config", "wal_config", "strict_mode_config"}
)

const mostCount = 1024

// readConfig reads the settings of the collection that have the server's names.
func (r modelReader) readConfig() *pb.CreateCollection {
	values := map[string]any{}
	for _, name := range countSettings {
		if n := r.Int(name, 0, 1, mostCount); n > 0 {
			values[name] = n
		}
	}
	for _, name := range serverSettings {
		if v := r.Values(name); v != nil {
			values[name] = v
		}
	}
	if has, on := r.Has("on_disk_payload"), r.Bool("on_disk_payload", false); has {
		values["on_disk_payload"] = on
	}
	config := &pb.CreateCollection{}
	for name, v := range values { // one by one, so that the problem's place is told
		r.decode(name, map[string]any{name: v}, config)
	}
	return config
}

// decode reads values that have the server's names into a message, beside what is there.
func (r modelReader) decode(place string, values map[string]any, into proto.Message) {
	text, err := json.Marshal(values)
	if err == nil {
		part := into.ProtoReflect().New().Interface()
		if err = protojson.Unmarshal(text, part); err == nil {
			proto.Merge(into, part)
			return
		}
	}
	problem := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	r.Fail(place, "cannot be read: "+problem+": want Qdrant's own names, such as {m: 16} in hnsw_config, or distance: Cosine")
}

// without are values less some.
func without(values map[string]any, names ...string) map[string]any {
	values = maps.Clone(values)
	for _, name := range names {
		delete(values, name)
	}
	return values
}

// section reads a map of maps.
func (r modelReader) section(name string, read func(name, place string, values map[string]any)) {
	all := r.Values(name)
	for _, part := range slices.Sorted(maps.Keys(all)) {
		values, ok := all[part].(map[string]any)
		place := name + "." + part
		if !ok && all[part] != nil {
			r.Fail(place, "must be a map, such as {size: 256}")
			continue
		}
		read(part, place, values)
	}
}

// readVectors reads the dense vectors. Without the setting every column that looks like one is one.
func (r modelReader) readVectors() {
	if r.Has("vectors") {
		r.section("vectors", r.readVector)
		return
	}
	r.Values("vectors") // none, and known
	for _, name := range slices.Sorted(maps.Keys(r.columns)) {
		if t := base(r.columns[name]); t == "real[]" || t == "vector" || t == "halfvec" {
			r.readVector(name, "vectors."+name, nil)
		}
	}
}

func (r modelReader) readVector(name, place string, values map[string]any) {
	from, ok := textAt(values, "column", name)
	column, there := r.columns[from]
	read := vectorTypes[base(column)]
	if !ok || !there || read == nil {
		r.Fail(place, fmt.Sprintf("needs a column of type real[], double precision[], vector or halfvec, and %q is none: name one with column", from))
		return
	}
	p := &pb.VectorParams{Distance: pb.Distance_Cosine, Size: sizeOf(column)}
	if values != nil {
		r.decode(place, without(values, "column"), p)
	}
	if p.Size == 0 {
		r.Fail(place+".size", "is missing: want how many elements each vector has; or leave "+name+" out of vectors (vectors: {}) to keep the column in the payload")
	}
	r.m.dense = append(r.m.dense, dense{name: name, at: r.rawColumn(from), read: read, VectorParams: p})
}

// sizeOf is the size that a column's type says, such as vector(256).
func sizeOf(c backends.Column) uint64 {
	_, rest, _ := strings.Cut(c.Type, "(")
	n, err := strconv.ParseUint(strings.TrimSuffix(rest, ")"), 10, 16)
	if err != nil || strings.Contains(c.Base, "[]") {
		return 0
	}
	return n
}

// textAt is a text among values, or what stands for it. False: it is no text.
func textAt(values map[string]any, name, instead string) (string, bool) {
	v, there := values[name]
	if !there {
		return instead, true
	}
	s, ok := v.(string)
	return s, ok
}

// rawColumn is the place of a column that comes apart.
func (r modelReader) rawColumn(name string) int {
	at := slices.Index(r.m.raw, name)
	if at < 0 {
		at = len(r.m.raw)
		r.m.raw = append(r.m.raw, name)
	}
	return at
}

// readSparse reads the sparse vectors.
func (r modelReader) readSparse() {
	r.section("sparse", func(name, place string, values map[string]any) {
		indices, okI := textAt(values, "indices", "")
		list, okV := textAt(values, "values", "")
		whole, okC := textAt(values, "column", "")
		p := &pb.SparseVectorParams{}
		r.decode(place, without(values, "indices", "values", "column"), p)
		switch {
		case okC && whole != "" && base(r.columns[whole]) == "sparsevec":
			at := r.rawColumn(whole)
			r.m.sparse = append(r.m.sparse, sparse{name, at, at, p})
		case okI && okV && indexTypes[base(r.columns[indices])] && base(r.columns[list]) == "real[]":
			r.m.sparse = append(r.m.sparse, sparse{name, r.rawColumn(indices), r.rawColumn(list), p})
		default:
			r.Fail(place, "needs indices, a column of type integer[] or bigint[], and values, one of type real[]; or column, one of type sparsevec")
		}
	})
}

// readID says whether the key itself is the id.
func (r modelReader) readID() bool {
	switch text := r.String("id", "uuid5"); text {
	case "uuid5":
		return false
	case "key":
		return true
	default:
		r.Fail("id", fmt.Sprintf("is %q: want uuid5, or key for keys that are UUIDs or unsigned integers", text))
		return false
	}
}
