package qdrant

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/outflow-db/outflow/backends"
)

func column(name, typ string) backends.Column {
	return backends.Column{Name: name, Type: typ, Base: strings.Split(typ, "(")[0]}
}

// symbols are the columns of a target with vectors of all kinds.
var symbols = []backends.Column{
	column("lang", "text"), column("embedding", "real[]"), column("title", "public.vector(3)"), column("body", "jsonb"),
	column("terms", "integer[]"), column("weights", "real[]"), column("tokens", "double precision[]"), column("bag", "sparsevec(9)"),
}

func target(columns []backends.Column, settings map[string]any) backends.Target {
	return backends.Target{Kind: "symbol", Name: "symbols", Columns: columns, Settings: settings}
}

type dict = map[string]any

// everything are settings of every kind.
func everything() dict {
	return dict{
		"vectors": dict{
			"embedding": dict{"size": 4, "distance": "Euclid", "on_disk": true, "hnsw_config": dict{"m": 8}, "quantization_config": dict{"scalar": dict{"type": "Int8", "quantile": 0.99}}},
			"title":     nil,
			"parts":     dict{"column": "tokens", "size": 2, "multivector_config": dict{"comparator": "MaxSim"}, "datatype": "Float16"},
		},
		"sparse":       dict{"terms": dict{"indices": "terms", "values": "weights", "modifier": "Idf"}, "bag": dict{"column": "bag"}},
		"indexes":      dict{"lang": "keyword", "body.n": dict{"type": "integer", "on_disk": true}},
		"shard_number": 2, "replication_factor": 2, "write_consistency_factor": 1, "on_disk_payload": false,
		"hnsw_config": dict{"m": 16}, "optimizers_config": dict{"indexing_threshold": 1000}, "quantization_config": dict{"binary": dict{"always_ram": true}},
		"strict_mode_config": dict{"enabled": true}, "id": "key",
	}
}

// A target's settings and columns make its collection, and say which columns are vectors.
func TestModel(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors"}
	m, err := b.model(target(symbols, everything()))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"lang", "body"}; !slices.Equal(m.payload, want) {
		t.Errorf("the payload is %v, want %v", m.payload, want)
	}
	if want := []string{"embedding", "tokens", "title", "bag", "terms", "weights"}; !slices.Equal(m.raw, want) {
		t.Errorf("apart come %v, want %v", m.raw, want)
	}
	want := map[string]*pb.VectorParams{
		"embedding": {
			Size: 4, Distance: pb.Distance_Euclid, OnDisk: new(true), HnswConfig: &pb.HnswConfigDiff{M: new(uint64(8))},
			QuantizationConfig: pb.NewQuantizationScalar(&pb.ScalarQuantization{Type: pb.QuantizationType_Int8, Quantile: new(float32(0.99))}),
		},
		"title": {Size: 3, Distance: pb.Distance_Cosine},
		"parts": {Size: 2, Distance: pb.Distance_Cosine, Datatype: pb.Datatype_Float16.Enum(), MultivectorConfig: &pb.MultiVectorConfig{}},
	}
	if d := cmp.Diff(want, m.config.VectorsConfig.GetParamsMap().Map, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	flat := flatConfig(m.config, m.indexes)
	for path, want := range map[string]string{
		"shard_number": "2", "on_disk_payload": "false", "hnsw_config.m": "16", "optimizers_config.indexing_threshold": "1000", "sparse.terms.modifier": "Idf",
		"quantization_config.binary.always_ram": "true", "indexes.lang.type": "keyword", "indexes.body.n.on_disk": "true", "indexes.outflow_version.type": "integer",
		"optimizers_config.max_optimization_threads.setting": "Auto", "vectors.embedding.quantization_config.scalar.quantile": "0.99", "strict_mode_config.enabled": "true",
	} {
		if flat[path] != want {
			t.Errorf("%s is %q, want %q", path, flat[path], want)
		}
	}
}

// Without the setting vectors, the columns that can be vectors are; with an empty one, none is.
func TestModelDefaults(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors"}
	columns := []backends.Column{column("v", "vector(3)"), column("d", "double precision[]"), column("h", "halfvec(5)"), column("n", "bigint")}
	for name, c := range map[string]struct {
		settings dict
		raw      []string
	}{"without": {nil, []string{"h", "v"}}, "empty": {dict{"vectors": dict{}}, nil}} {
		l, err := b.Layout(target(columns, c.settings))
		if err != nil || !slices.Equal(l.Raw, c.raw) || len(l.Raw)+len(l.Doc) != len(columns) {
			t.Errorf("%s: got %v, %v", name, l, err)
		}
	}
}

// Every problem of a target's settings is told at once, with its place.
func TestBadModel(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors"}
	columns := append(slices.Clone(symbols), column("outflow_key", "text"))
	_, err := b.Layout(target(columns, dict{
		"vectors":     dict{"lang": dict{"size": 4}, "embedding": dict{"distance": "Far"}, "weights": "text", "none": dict{"column": 1}, "tokens": nil},
		"sparse":      dict{"terms": dict{"indices": "lang", "values": "weights"}, "bag": dict{"column": "lang"}},
		"indexes":     dict{"lang": "none", "nowhere": "keyword", "body": dict{"type": "integer", "no": 1}},
		"hnsw_config": dict{"n": 1}, "shard_number": 0, "id": "name", "typo": 1,
	}))
	if backends.ClassOf(err) != backends.Rejected {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"column outflow_key", "setting vectors.lang ", "setting vectors.embedding cannot be read", "setting vectors.embedding.size is missing", "setting vectors.weights must be a map",
		"setting vectors.none ", "setting vectors.tokens.size is missing", "setting sparse.terms ", "setting sparse.bag ", "setting indexes.lang ", "setting indexes.nowhere ", "setting indexes.body ",
		"setting hnsw_config ", "setting shard_number ", "setting id ", "setting typo ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if _, err := b.Layout(backends.Target{Name: "a/b"}); backends.ClassOf(err) != backends.Rejected {
		t.Errorf("got %v", err)
	}
}
