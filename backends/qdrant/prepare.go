package qdrant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"

	"github.com/outflow-db/outflow/backends"
)

// Prepare makes the collection of each target, or puts in place what differs. What cannot be put in place is told
// all at once.
func (b *backend) Prepare(ctx context.Context, targets []backends.Target) error {
	models, err := b.models(targets)
	if err != nil {
		return err
	}
	var errs []error
	for i, t := range targets {
		if err := b.prepare(ctx, models[i], building(models)); err != nil {
			errs = append(errs, b.classifyFor("prepare", t, err))
			continue
		}
		b.remember(models[i].collection)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// Plan tells what Prepare would do.
func (b *backend) Plan(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
	models, err := b.models(targets)
	if err != nil {
		return nil, err
	}
	var changes []backends.Change
	for i, t := range targets {
		s, err := b.look(ctx, models[i])
		if err != nil {
			return nil, b.classifyFor("plan", t, err)
		}
		changes = append(changes, models[i].compare(s, building(models))...)
	}
	return changes, nil
}

func (b *backend) models(targets []backends.Target) ([]*model, error) {
	models := make([]*model, len(targets))
	for i, t := range targets {
		var err error
		if models[i], err = b.model(t); err != nil {
			return nil, err
		}
	}
	return models, nil
}

// building lists the generations that are being filled.
func building(models []*model) []string {
	var list []string
	for _, m := range models {
		if m.building {
			list = append(list, m.collection)
		}
	}
	return list
}

// look asks for the collection, and for what is behind the alias.
func (b *backend) look(ctx context.Context, m *model) (state, error) {
	var s state
	info, err := b.collections.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: m.collection})
	if err != nil && !is(err, codes.NotFound) {
		return s, err
	}
	s.info = info.GetResult()
	if s.seen, err = b.seen(ctx, m.names); err != nil || s.seen != "" {
		return s, err
	}
	found, err := b.collections.CollectionExists(ctx, &pb.CollectionExistsRequest{CollectionName: m.alias})
	if err != nil {
		return s, err
	}
	s.taken = found.GetResult().GetExists()
	if s.taken { // unless the alias has come meanwhile
		s.seen, err = b.seen(ctx, m.names)
		s.taken = s.seen == ""
	}
	return s, err
}

// seen is the collection behind the alias; empty: there is none.
func (b *backend) seen(ctx context.Context, n names) (string, error) {
	list, err := b.collections.ListAliases(ctx, &pb.ListAliasesRequest{})
	if err != nil {
		return "", err
	}
	for _, a := range list.Aliases {
		if a.AliasName == n.alias {
			return a.CollectionName, nil
		}
	}
	return "", nil
}

// is says whether an error is the server's, with a code.
func is(err error, code codes.Code) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.code == code
}

// prepare brings one collection to what is wanted. Another process may do the same meanwhile.
func (b *backend) prepare(ctx context.Context, m *model, building []string) error {
	s, err := b.look(ctx, m)
	if err != nil {
		return err
	}
	if s.info == nil && !s.taken {
		if _, err := b.collections.Create(ctx, m.config); err != nil && !exists(err) {
			return asSchema(b, err)
		}
		if s, err = b.look(ctx, m); err != nil {
			return err
		}
	}
	changes := m.compare(s, building)
	if err := b.impossible(m, changes); err != nil {
		return err
	}
	return b.mend(ctx, m, s, changes)
}

// exists says whether a collection could not be made because it is there by now.
func exists(err error) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && (e.code == codes.AlreadyExists || e.code == codes.InvalidArgument && strings.Contains(e.message, "already exists"))
}

// asSchema is the error of a structure that the server refuses to make: the settings ask for what cannot be.
func asSchema(b *backend, err error) error {
	if !is(err, codes.InvalidArgument) {
		return err
	}
	e := b.fail("prepare", backends.Schema, err)
	e.Advice = "mend the target's settings: the server does not take them"
	return e
}

// impossible is an error that names everything that cannot be put in place.
func (b *backend) impossible(m *model, changes []backends.Change) error {
	var list []string
	for _, c := range changes {
		if c.What == backends.Rebuild {
			list = append(list, strings.TrimPrefix(c.String(), string(backends.Rebuild)+" "))
		}
	}
	if len(list) == 0 {
		return nil
	}
	e := b.fail("prepare", backends.Schema, fmt.Errorf("collection %s cannot be changed in place: %s", m.collection, strings.Join(list, "; ")))
	e.Advice = "take the setting back, or let a new collection take its place: outflow rebuild " + b.name + " " + m.kind + " --beside"
	return e
}

// mend puts differences in place, of which all can be. Indexes come first: they are wanted before the graph is built.
func (b *backend) mend(ctx context.Context, m *model, s state, changes []backends.Change) error {
	fields, config, alias := map[string]bool{}, false, false
	for _, c := range changes {
		switch {
		case c.Field == "alias":
			alias = true
		case strings.HasPrefix(c.Field, "indexes."):
			fields[m.indexField(c.Field)] = true
		case c.Field != "":
			config = true
		}
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if err := b.index(ctx, m, field, s.info.GetPayloadSchema()[field] != nil); err != nil {
			return asSchema(b, err)
		}
	}
	if config {
		if _, err := b.collections.Update(ctx, m.changed()); err != nil {
			return asSchema(b, err)
		}
	}
	if alias {
		return b.serveAs(ctx, m.names, s.seen)
	}
	return nil
}

// indexField is the field of the payload that a change is about; fields may have dots in them.
func (m *model) indexField(path string) string {
	path = strings.TrimPrefix(path, "indexes.")
	best := ""
	for field := range m.indexes {
		if (path == field || strings.HasPrefix(path, field+".")) && len(field) > len(best) {
			best = field
		}
	}
	return best
}

// index makes an index of the payload, in place of the one that is there.
func (b *backend) index(ctx context.Context, m *model, field string, there bool) error {
	if there {
		_, err := b.points.DeleteFieldIndex(ctx, &pb.DeleteFieldIndexCollection{CollectionName: m.collection, Wait: new(true), FieldName: field})
		if err != nil {
			return err
		}
	}
	info := m.indexes[field]
	_, err := b.points.CreateFieldIndex(ctx, &pb.CreateFieldIndexCollection{
		CollectionName: m.collection, Wait: new(true), FieldName: field,
		FieldType: fieldTypeOf(info.DataType).Enum(), FieldIndexParams: info.Params,
	})
	return err
}

// changed is the request that brings everything to what is wanted that can be brought there.
func (m *model) changed() *pb.UpdateCollection {
	c := m.config
	r := &pb.UpdateCollection{
		CollectionName: m.collection, OptimizersConfig: c.OptimizersConfig, HnswConfig: c.HnswConfig,
		StrictModeConfig: c.StrictModeConfig, QuantizationConfig: quantizationDiff(c.QuantizationConfig),
		SparseVectorsConfig: c.SparseVectorsConfig,
	}
	if c.ReplicationFactor != nil || c.WriteConsistencyFactor != nil || c.OnDiskPayload != nil {
		r.Params = &pb.CollectionParamsDiff{
			ReplicationFactor: c.ReplicationFactor, WriteConsistencyFactor: c.WriteConsistencyFactor, OnDiskPayload: c.OnDiskPayload,
		}
	}
	diffs := map[string]*pb.VectorParamsDiff{}
	for _, v := range m.dense {
		if v.HnswConfig != nil || v.QuantizationConfig != nil || v.OnDisk != nil {
			diffs[v.name] = &pb.VectorParamsDiff{HnswConfig: v.HnswConfig, QuantizationConfig: quantizationDiff(v.QuantizationConfig), OnDisk: v.OnDisk}
		}
	}
	if len(diffs) > 0 {
		r.VectorsConfig = pb.NewVectorsConfigDiffMap(diffs)
	}
	return r
}

// quantizationDiff is a quantization as a change to it; nil: it stays.
func quantizationDiff(c *pb.QuantizationConfig) *pb.QuantizationConfigDiff {
	switch v := c.GetQuantization().(type) {
	case *pb.QuantizationConfig_Scalar:
		return &pb.QuantizationConfigDiff{Quantization: &pb.QuantizationConfigDiff_Scalar{Scalar: v.Scalar}}
	case *pb.QuantizationConfig_Product:
		return &pb.QuantizationConfigDiff{Quantization: &pb.QuantizationConfigDiff_Product{Product: v.Product}}
	case *pb.QuantizationConfig_Binary:
		return &pb.QuantizationConfigDiff{Quantization: &pb.QuantizationConfigDiff_Binary{Binary: v.Binary}}
	case *pb.QuantizationConfig_Turboquant:
		return &pb.QuantizationConfigDiff{Quantization: &pb.QuantizationConfigDiff_Turboquant{Turboquant: v.Turboquant}}
	default:
		return nil
	}
}

// serveAs makes readers see the collection instead of the one that they see, in one step.
func (b *backend) serveAs(ctx context.Context, n names, seen string) error {
	var actions []*pb.AliasOperations
	if seen != "" {
		actions = append(actions, pb.NewAliasDelete(n.alias))
	}
	_, err := b.collections.UpdateAliases(ctx, &pb.ChangeAliases{Actions: append(actions, pb.NewAliasCreate(n.alias, n.collection))})
	return err
}
