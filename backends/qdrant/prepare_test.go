package qdrant

import (
	"slices"
	"strings"
	"testing"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

func (b *backend) mustPrepare(tb testing.TB, targets ...backends.Target) {
	tb.Helper()
	if err := b.Prepare(tb.Context(), targets); err != nil {
		tb.Fatal(err)
	}
	if changes, err := b.Plan(tb.Context(), targets); err != nil || len(changes) > 0 {
		tb.Fatalf("after Prepare, Plan has %v, %v", changes, err)
	}
}

func (b *backend) info(tb testing.TB, collection string) *pb.CollectionInfo {
	tb.Helper()
	info, err := b.collections.Get(tb.Context(), &pb.GetCollectionInfoRequest{CollectionName: collection})
	if err != nil {
		tb.Fatal(err)
	}
	return info.Result
}

// A collection of all kinds of vectors, settings and indexes is made as it is wanted, with an alias.
func TestPrepareEverything(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	b.mustPrepare(t, target(symbols, everything()))
	b.mustPrepare(t, target(symbols, everything()))
	info := b.info(t, b.prefix+"symbols") // through the alias
	if got := info.PayloadSchema; len(got) != 4 || got["outflow_key"].DataType != pb.PayloadSchemaType_Keyword {
		t.Errorf("indexes are %v", got)
	}
}

// What differs and can be changed in place is planned field by field, and changed; what is there and not asked for stays.
func TestPrepareAlters(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	b.mustPrepare(t, target(symbols, everything()))
	other := everything()
	other["vectors"].(dict)["embedding"].(dict)["on_disk"] = false
	other["vectors"].(dict)["embedding"].(dict)["hnsw_config"] = dict{"m": 32}
	other["hnsw_config"], other["on_disk_payload"], other["replication_factor"] = dict{"ef_construct": 200}, true, 1
	other["quantization_config"] = dict{"scalar": dict{"type": "Int8"}}
	other["indexes"] = dict{"lang": "text", "body.n": dict{"type": "integer", "on_disk": false}, "body": "keyword"}
	other["optimizers_config"] = dict{"max_optimization_threads": dict{"value": 3}}
	changes, err := b.Plan(t.Context(), []backends.Target{target(symbols, other)})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, c := range changes {
		got = append(got, c.String())
	}
	want := []string{
		"alter symbols.hnsw_config.ef_construct: 100 becomes 200",
		"alter symbols.indexes.body: there",
		"alter symbols.indexes.body.n.on_disk: true becomes false",
		"alter symbols.indexes.lang.type: keyword becomes text",
		"alter symbols.on_disk_payload: false becomes true",
		"alter symbols.optimizers_config.max_optimization_threads.value: 3",
		"alter symbols.quantization_config.scalar.type: Int8",
		"alter symbols.replication_factor: 2 becomes 1",
		"alter symbols.vectors.embedding.hnsw_config.m: 8 becomes 32",
		"alter symbols.vectors.embedding.on_disk: true becomes false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b.mustPrepare(t, target(symbols, other))
	if m := b.info(t, b.prefix+"symbols@1").Config.HnswConfig; m.GetM() != 16 || m.GetEfConstruct() != 200 {
		t.Errorf("the graph is %v", m)
	}
}

// What cannot be changed in place is refused, all of it at once, with the way out; Plan says the same and is no error.
func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	b.mustPrepare(t, target(symbols, everything()))
	other := everything()
	other["vectors"].(dict)["embedding"].(dict)["size"] = 5
	other["vectors"].(dict)["parts"].(dict)["distance"] = "Dot"
	other["vectors"].(dict)["more"] = dict{"column": "tokens", "size": 7}
	other["shard_number"] = 3
	err := b.Prepare(t.Context(), []backends.Target{target(symbols, other)})
	e := backends.AsError("", "", err)
	if e.Class != backends.Schema || !strings.Contains(e.What(), "outflow rebuild vectors symbol --beside") {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"shard_number: 2 becomes 3", "vectors.embedding.size: 4 becomes 5", "vectors.parts.distance: Cosine becomes Dot", "vectors.more: there"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	changes, err := b.Plan(t.Context(), []backends.Target{target(symbols, other)})
	if err != nil || len(changes) != 4 || slices.ContainsFunc(changes, func(c backends.Change) bool { return c.What != backends.Rebuild }) {
		t.Errorf("got %v, %v", changes, err)
	}
}

// Parts in which nothing is set are compared as well, and one vector is not several.
func TestCompareParts(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors"}
	model := func(settings dict) *model {
		m, err := b.model(target([]backends.Column{column("v", "vector(3)")}, settings))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, c := range map[string]struct {
		want, have dict
		change     string
	}{
		"same":               {dict{"quantization_config": dict{"binary": dict{}}}, dict{"quantization_config": dict{"binary": dict{"always_ram": true}}}, ""},
		"switched on":        {dict{"quantization_config": dict{"binary": dict{}}}, nil, "alter symbols.quantization_config.binary: on"},
		"another":            {dict{"quantization_config": dict{"product": dict{"compression": "x8"}}}, dict{"quantization_config": dict{"binary": dict{}}}, "alter symbols.quantization_config.product.compression: x8"},
		"several":            {dict{"vectors": dict{"v": dict{"multivector_config": dict{}}}}, nil, "rebuild symbols.vectors.v.multivector_config: on"},
		"several already":    {dict{"vectors": dict{"v": dict{"multivector_config": dict{"comparator": "MaxSim"}}}}, dict{"vectors": dict{"v": dict{"multivector_config": dict{}}}}, ""},
		"one of several":     {nil, dict{"vectors": dict{"v": dict{"multivector_config": dict{}}}}, "rebuild symbols.vectors.v.multivector_config: on goes"},
		"the usual datatype": {dict{"vectors": dict{"v": dict{"datatype": "Float32"}}}, nil, ""},
		"another datatype":   {dict{"vectors": dict{"v": dict{"datatype": "Uint8"}}}, nil, "rebuild symbols.vectors.v.datatype: Uint8"},
	} {
		want, have := model(c.want), model(c.have)
		s := state{seen: want.collection, info: &pb.CollectionInfo{PayloadSchema: have.indexes, Config: &pb.CollectionConfig{
			Params: &pb.CollectionParams{VectorsConfig: have.config.VectorsConfig}, QuantizationConfig: have.config.QuantizationConfig, OptimizerConfig: have.config.OptimizersConfig,
		}}}
		got := ""
		var gotSb141 strings.Builder
		for _, change := range want.compare(s, nil) {
			gotSb141.WriteString(change.String())
		}
		got += gotSb141.String()
		if got != c.change {
			t.Errorf("%s: got %q, want %q", name, got, c.change)
		}
	}
}

// A server that knows only the older field for how many work is understood.
func TestOptimizerThreads(t *testing.T) {
	t.Parallel()
	for want, have := range map[string]*pb.OptimizersConfigDiff{
		"value": {DeprecatedMaxOptimizationThreads: new(uint64(2))}, "setting": nil,
	} {
		flat := flatConfig(asCreated(&pb.CollectionConfig{OptimizerConfig: have, Params: &pb.CollectionParams{}}), nil)
		if flat["optimizers_config.max_optimization_threads."+want] == "" {
			t.Errorf("%s is missing in %v", want, flat)
		}
	}
}

// Several targets that cannot be are told at once; those that can be are made.
func TestPrepareSeveral(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	good, taken, second := target(nil, nil), target(nil, nil), target(nil, nil)
	taken.Name, second.Name = "taken", "second"
	service := qdranttest.Client(t, qdranttest.Open(t)).Collections()
	for _, name := range []string{"taken", "second"} {
		if _, err := service.Create(t.Context(), &pb.CreateCollection{CollectionName: b.prefix + name}); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Prepare(t.Context(), []backends.Target{taken, good, second})
	if err == nil || !strings.Contains(err.Error(), "taken") || !strings.Contains(err.Error(), "second") {
		t.Errorf("got %v", err)
	}
	if err := b.Serve(t.Context(), taken); backends.ClassOf(err) != backends.Schema {
		t.Errorf("serving: %v", err)
	}
	b.mustPrepare(t, good)
}

// Settings that only the server can refuse are the target's fault.
func TestPrepareBadSettings(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	err := b.Prepare(t.Context(), []backends.Target{target(symbols, dict{"vectors": dict{"embedding": dict{"size": 1 << 20}}})})
	if backends.ClassOf(err) != backends.Schema {
		t.Errorf("got %v", err)
	}
}

// A new generation is filled beside the one that readers see, without indexing; served, it is indexed and takes its
// place in one step; the old one can be dropped then, and the one that readers see cannot.
func TestRebuild(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	one := target(symbols, everything())
	b.mustPrepare(t, one)
	two := one
	two.Generation, two.Building, two.Settings = 2, true, everything()
	two.Settings["vectors"].(dict)["embedding"].(dict)["size"] = 8
	b.mustPrepare(t, one, two)
	threads := func() *pb.MaxOptimizationThreads {
		return b.info(t, b.prefix+"symbols@2").Config.OptimizerConfig.GetMaxOptimizationThreads()
	}
	seen := func() string {
		name, err := b.seen(t.Context(), names{alias: b.prefix + "symbols"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(name, b.prefix)
	}
	if seen() != "symbols@1" || threads().GetValue() != 0 || threads().GetVariant() == nil {
		t.Errorf("while it is filled readers see %s, and %v work", seen(), threads())
	}
	if err := b.Drop(t.Context(), one); backends.ClassOf(err) != backends.Rejected {
		t.Errorf("dropping what readers see: %v", err)
	}
	for range 2 {
		if err := b.Serve(t.Context(), two); err != nil {
			t.Fatal(err)
		}
	}
	if seen() != "symbols@2" || threads().GetSetting() != pb.MaxOptimizationThreads_Auto || threads().GetVariant() == nil {
		t.Errorf("afterwards readers see %s, and %v work", seen(), threads())
	}
	two.Building = false
	b.mustPrepare(t, two)
	for range 2 {
		if err := b.Drop(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if changes, err := b.Plan(t.Context(), []backends.Target{one}); err != nil || len(changes) != 2 || changes[1].What != backends.Rebuild {
		t.Errorf("the old generation: %v, %v", changes, err)
	}
	two.Generation = 3
	if err := b.Serve(t.Context(), two); backends.ClassOf(err) != backends.Schema {
		t.Errorf("serving what is not there: %v", err)
	}
}
