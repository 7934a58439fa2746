package qdrantserver

import (
	"maps"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

const maxDimensions = 65535

// newConfig is the configuration of a new collection, with the server's defaults.
func newConfig(r *pb.CreateCollection) (*pb.CollectionConfig, error) {
	if err := checkVectors(r); err != nil {
		return nil, err
	}
	onDisk := true // as the server's configuration has it
	if r.OnDiskPayload != nil {
		onDisk = *r.OnDiskPayload
	}
	config := &pb.CollectionConfig{
		Params: &pb.CollectionParams{
			ShardNumber: max(r.GetShardNumber(), 1), OnDiskPayload: onDisk,
			VectorsConfig:          clone(r.GetVectorsConfig()),
			SparseVectorsConfig:    clone(r.GetSparseVectorsConfig()),
			ReplicationFactor:      new(max(r.GetReplicationFactor(), 1)),
			WriteConsistencyFactor: new(max(r.GetWriteConsistencyFactor(), 1)),
		},
		HnswConfig: &pb.HnswConfigDiff{
			M: proto.Uint64(16), EfConstruct: proto.Uint64(100), FullScanThreshold: proto.Uint64(10000),
			MaxIndexingThreads: proto.Uint64(0), OnDisk: new(false),
		},
		OptimizerConfig: &pb.OptimizersConfigDiff{
			DeletedThreshold: new(0.2), VacuumMinVectorNumber: proto.Uint64(1000),
			DefaultSegmentNumber: proto.Uint64(0), IndexingThreshold: proto.Uint64(10000), FlushIntervalSec: proto.Uint64(5),
		},
		WalConfig:          &pb.WalConfigDiff{WalCapacityMb: proto.Uint64(32), WalSegmentsAhead: proto.Uint64(0)},
		QuantizationConfig: clone(r.QuantizationConfig),
		StrictModeConfig:   clone(r.StrictModeConfig),
		Metadata:           r.Metadata,
	}
	merge(config.HnswConfig, r.HnswConfig)
	merge(config.OptimizerConfig, r.OptimizersConfig)
	merge(config.WalConfig, r.WalConfig)
	return config, nil
}

// merge puts what is set in from into to.
func merge[M proto.Message](to, from M) {
	if from.ProtoReflect().IsValid() {
		proto.Merge(to, from)
	}
}

func checkVectors(r *pb.CreateCollection) error {
	for name, p := range vectorParams(r.GetVectorsConfig()) {
		switch {
		case p.GetSize() < 1 || p.GetSize() > maxDimensions:
			return invalid("vectors_config.config.size", "value must be from 1 to 65535 inclusive")
		case p.GetDistance() == pb.Distance_UnknownDistance:
			return malformed("Unknown distance")
		case r.GetSparseVectorsConfig().GetMap()[name] != nil:
			return badInput("Dense and sparse vectors cannot have the same name: %s", name)
		}
	}
	return nil
}

// vectorParams are the dense vectors by name; the one without is "".
func vectorParams(c *pb.VectorsConfig) map[string]*pb.VectorParams {
	if p := c.GetParams(); p != nil {
		return map[string]*pb.VectorParams{"": p}
	}
	return c.GetParamsMap().GetMap()
}

// update applies what a request changes.
func update(config *pb.CollectionConfig, r *pb.UpdateCollection) error {
	merge(config.HnswConfig, r.HnswConfig)
	merge(config.OptimizerConfig, r.OptimizersConfig)
	if p := r.Params; p != nil {
		if p.ReplicationFactor != nil {
			config.Params.ReplicationFactor = p.ReplicationFactor
		}
		if p.WriteConsistencyFactor != nil {
			config.Params.WriteConsistencyFactor = p.WriteConsistencyFactor
		}
		if p.OnDiskPayload != nil {
			config.Params.OnDiskPayload = *p.OnDiskPayload
		}
	}
	if q := r.QuantizationConfig; q != nil {
		config.QuantizationConfig = quantization(q)
	}
	for name, p := range r.GetSparseVectorsConfig().GetMap() {
		have := config.Params.GetSparseVectorsConfig().GetMap()[name]
		if have == nil {
			return noVector(name)
		}
		merge(have, p)
	}
	if config.Metadata == nil {
		config.Metadata = map[string]*pb.Value{}
	}
	maps.Copy(config.Metadata, r.Metadata)
	return updateVectors(config, r.VectorsConfig)
}

func updateVectors(config *pb.CollectionConfig, diff *pb.VectorsConfigDiff) error {
	diffs := diff.GetParamsMap().GetMap()
	if p := diff.GetParams(); p != nil {
		diffs = map[string]*pb.VectorParamsDiff{"": p}
	}
	have := vectorParams(config.Params.VectorsConfig)
	for name, p := range diffs {
		v := have[name]
		if v == nil {
			return noVector(name)
		}
		if p.HnswConfig != nil {
			if v.HnswConfig == nil {
				v.HnswConfig = &pb.HnswConfigDiff{}
			}
			merge(v.HnswConfig, p.HnswConfig)
		}
		if p.OnDisk != nil {
			v.OnDisk = p.OnDisk
		}
		if p.QuantizationConfig != nil {
			v.QuantizationConfig = quantization(p.QuantizationConfig)
		}
	}
	return nil
}

// quantization is what a change makes of it; nil: it is switched off.
func quantization(d *pb.QuantizationConfigDiff) *pb.QuantizationConfig {
	switch v := d.Quantization.(type) {
	case *pb.QuantizationConfigDiff_Scalar:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Scalar{Scalar: v.Scalar}}
	case *pb.QuantizationConfigDiff_Product:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Product{Product: v.Product}}
	case *pb.QuantizationConfigDiff_Binary:
		return &pb.QuantizationConfig{Quantization: &pb.QuantizationConfig_Binary{Binary: v.Binary}}
	default:
		return nil
	}
}
