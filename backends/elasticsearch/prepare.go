package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
)

// Prepare makes the index of each target, or puts in place what differs. What cannot be put in place is told
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
		b.remember(models[i].index)
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
			list = append(list, m.index)
		}
	}
	return list
}

// look asks for the index, and for what is behind the alias.
func (b *backend) look(ctx context.Context, m *model) (state, error) {
	yes := true
	found := map[string]*indexState{}
	err := b.ask(ctx, esapi.IndicesGetRequest{
		Index: []string{m.index, m.alias}, IgnoreUnavailable: &yes, AllowNoIndices: &yes, FlatSettings: &yes,
	}, &found)
	if err != nil {
		return state{}, err
	}
	s := state{index: found[m.index], taken: found[m.alias] != nil}
	for name, index := range found {
		if _, carries := index.Aliases[m.alias]; carries {
			s.carriers = append(s.carriers, name)
		}
	}
	slices.Sort(s.carriers)
	return s, nil
}

// prepare brings one index to what is wanted. Another process may do the same meanwhile.
func (b *backend) prepare(ctx context.Context, m *model, building []string) error {
	s, err := b.look(ctx, m)
	if err != nil {
		return err
	}
	if s.index == nil && !s.taken {
		if err := b.create(ctx, m, len(s.carriers) == 0); err != nil && !exists(err) {
			return err
		}
		if s, err = b.look(ctx, m); err != nil {
			return err
		}
	}
	changes := m.compare(s, building)
	if err := b.impossible(m, changes); err != nil {
		return err
	}
	return b.mend(ctx, m, changes)
}

// exists says whether an index could not be made because it is there by now.
func exists(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.typ() == "resource_already_exists_exception"
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
	e := b.fail("prepare", backends.Schema, fmt.Errorf("index %s cannot be changed in place: %s", m.index, strings.Join(list, "; ")))
	e.Advice = "take the setting back, or let a new index take its place: outflow rebuild " + b.name + " " + m.kind + " --beside"
	return e
}

// create makes the index with all that belongs to it, in one request.
func (b *backend) create(ctx context.Context, m *model, served bool) error {
	aliases := map[string]any{m.write: map[string]any{}}
	if served && !m.building {
		aliases[m.alias] = map[string]any{}
	}
	all := maps.Clone(m.nested)
	if all == nil {
		all = map[string]any{}
	}
	for name, v := range m.wanted() {
		if _, own := m.own[name]; !own {
			all[strings.TrimPrefix(name, "index.")] = v
		}
	}
	return b.ask(ctx, esapi.IndicesCreateRequest{
		Index: m.index,
		Body:  body(map[string]any{"settings": map[string]any{"index": all}, "mappings": m.mappings(), "aliases": aliases}),
	}, nil)
}

// mend puts differences in place, of which all can be.
func (b *backend) mend(ctx context.Context, m *model, changes []backends.Change) error {
	mapping, dynamic, actions := false, map[string]string{}, []any{}
	for _, c := range changes {
		switch {
		case c.Field == "alias":
			actions = append(actions, add(m.index, m.alias))
		case c.Field == "write alias":
			actions = append(actions, add(m.index, m.write))
		case strings.HasPrefix(c.Field, "index."):
			dynamic[c.Field] = c.To
		default:
			mapping = true
		}
	}
	var errs []error
	if mapping {
		errs = append(errs, b.ask(ctx, esapi.IndicesPutMappingRequest{Index: []string{m.index}, Body: body(m.mappings())}, nil))
	}
	if len(dynamic) > 0 {
		errs = append(errs, b.ask(ctx, esapi.IndicesPutSettingsRequest{Index: []string{m.index}, Body: body(dynamic)}, nil))
	}
	if len(actions) > 0 {
		errs = append(errs, b.aliases(ctx, actions))
	}
	for i, err := range errs {
		if err != nil && b.classify("prepare", err).Class == backends.Rejected {
			e := b.fail("prepare", backends.Schema, err)
			e.Advice = "take the setting back: the server does not change it in an index that is there"
			errs[i] = e
		}
	}
	return errors.Join(errs...)
}

// aliases changes aliases, all in one step.
func (b *backend) aliases(ctx context.Context, actions []any) error {
	return b.ask(ctx, esapi.IndicesUpdateAliasesRequest{Body: body(map[string]any{"actions": actions})}, nil)
}

func add(index, alias string) any {
	return map[string]any{"add": map[string]any{"index": index, "alias": alias}}
}

// body is a request's body. What goes in are maps of texts, numbers and the like, read from YAML.
func body(v any) io.Reader {
	text, err := json.Marshal(v)
	if err != nil {
		text = fmt.Appendf(nil, "%q", err) // the server refuses it, and says why
	}
	return bytes.NewReader(text)
}
