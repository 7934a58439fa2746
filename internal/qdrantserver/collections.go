package qdrantserver

import (
	"context"
	"maps"

	pb "github.com/qdrant/go-client/qdrant"
)

// collections is the service of collections and aliases.
type collections struct {
	pb.UnimplementedCollectionsServer
	s *Server
}

var done = &pb.CollectionOperationResponse{Result: true}

// Create makes a collection; one of the name, or an alias, must not be there.
func (c collections) Create(_ context.Context, r *pb.CreateCollection) (*pb.CollectionOperationResponse, error) {
	if err := checkName(r.CollectionName); err != nil {
		return nil, err
	}
	config, err := newConfig(r)
	if err != nil {
		return nil, err
	}
	d := &c.s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.collections[r.CollectionName] != nil {
		return nil, exists(r.CollectionName)
	}
	if _, taken := d.aliases[r.CollectionName]; taken {
		return nil, badInput("Can't create collection with name %s. Alias with the same name already exists", r.CollectionName)
	}
	d.collections[r.CollectionName] = newCollection(r.CollectionName, config, &c.s.taken)
	return done, nil
}

// Update changes a collection's configuration.
func (c collections) Update(_ context.Context, r *pb.UpdateCollection) (*pb.CollectionOperationResponse, error) {
	found, err := c.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	c.s.data.mu.Lock()
	defer c.s.data.mu.Unlock()
	config := clone(found.config)
	if err := update(config, r); err != nil {
		return nil, err
	}
	found.config = config
	return done, nil
}

// Delete removes a collection with its aliases. Result is false if it is not there.
func (c collections) Delete(_ context.Context, r *pb.DeleteCollection) (*pb.CollectionOperationResponse, error) {
	if err := checkName(r.CollectionName); err != nil {
		return nil, err
	}
	d := &c.s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.collections[r.CollectionName] != nil
	delete(d.collections, r.CollectionName)
	for alias, to := range d.aliases {
		if to == r.CollectionName {
			delete(d.aliases, alias)
		}
	}
	return &pb.CollectionOperationResponse{Result: found}, nil
}

// Get tells a collection's condition and configuration.
func (c collections) Get(_ context.Context, r *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	found, err := c.s.data.find(r.CollectionName)
	if err != nil {
		return nil, err
	}
	c.s.data.mu.RLock()
	defer c.s.data.mu.RUnlock()
	return &pb.GetCollectionInfoResponse{Result: found.info()}, nil
}

// CollectionExists says whether there is a collection, or an alias, of the name.
func (c collections) CollectionExists(_ context.Context, r *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	if err := checkName(r.CollectionName); err != nil {
		return nil, err
	}
	_, err := c.s.data.find(r.CollectionName)
	return &pb.CollectionExistsResponse{Result: &pb.CollectionExists{Exists: err == nil}}, nil
}

// List tells the names of collections.
func (c collections) List(context.Context, *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	c.s.data.mu.RLock()
	defer c.s.data.mu.RUnlock()
	answer := &pb.ListCollectionsResponse{}
	for _, name := range sortedNames(c.s.data.collections) {
		answer.Collections = append(answer.Collections, &pb.CollectionDescription{Name: name})
	}
	return answer, nil
}

// UpdateAliases makes all changes in one step, or none.
func (c collections) UpdateAliases(_ context.Context, r *pb.ChangeAliases) (*pb.CollectionOperationResponse, error) {
	d := &c.s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	next := map[string]string{}
	maps.Copy(next, d.aliases)
	for _, a := range r.Actions {
		if err := d.action(next, a); err != nil {
			return nil, err
		}
	}
	d.aliases = next
	return done, nil
}

// action applies one change to the aliases. To delete one that is not there is nothing.
func (d *catalog) action(aliases map[string]string, a *pb.AliasOperations) error {
	switch v := a.GetAction().(type) {
	case *pb.AliasOperations_CreateAlias:
		name, to := v.CreateAlias.AliasName, v.CreateAlias.CollectionName
		switch {
		case d.collections[to] == nil:
			return notFound(to)
		case d.collections[name] != nil:
			return exists(name)
		}
		aliases[name] = to
	case *pb.AliasOperations_RenameAlias:
		to, ok := aliases[v.RenameAlias.OldAliasName]
		if !ok {
			return notFoundAlias(v.RenameAlias.OldAliasName)
		}
		delete(aliases, v.RenameAlias.OldAliasName)
		aliases[v.RenameAlias.NewAliasName] = to
	case *pb.AliasOperations_DeleteAlias:
		delete(aliases, v.DeleteAlias.AliasName)
	default:
		return malformed("Malformed AliasOperation type")
	}
	return nil
}

// ListAliases tells all aliases.
func (c collections) ListAliases(context.Context, *pb.ListAliasesRequest) (*pb.ListAliasesResponse, error) {
	return c.aliases(func(string) bool { return true }), nil
}

// ListCollectionAliases tells the aliases of a collection.
func (c collections) ListCollectionAliases(_ context.Context, r *pb.ListCollectionAliasesRequest) (*pb.ListAliasesResponse, error) {
	return c.aliases(func(to string) bool { return to == r.CollectionName }), nil
}

func (c collections) aliases(want func(to string) bool) *pb.ListAliasesResponse {
	c.s.data.mu.RLock()
	defer c.s.data.mu.RUnlock()
	answer := &pb.ListAliasesResponse{}
	for _, alias := range sortedNames(c.s.data.aliases) {
		if to := c.s.data.aliases[alias]; want(to) {
			answer.Aliases = append(answer.Aliases, &pb.AliasDescription{AliasName: alias, CollectionName: to})
		}
	}
	return answer
}
