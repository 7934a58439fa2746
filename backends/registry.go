package backends

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Config is one backend as configured.
type Config struct {
	Name     string         // unique among backends; lower case letters, digits, - and _
	Type     string         // the registered type, such as "postgres"
	Settings map[string]any // what the type asks for: addresses, credentials, limits
	Logger   *slog.Logger   // nil: discarded
}

// Opener makes a backend. It reports every problem of the settings at once and fails with an *Error of
// class Denied or Transient only if it had to reach the store.
type Opener func(ctx context.Context, cfg Config) (Backend, error)

var registry = struct {
	sync.RWMutex
	types    map[string]Opener
	settings map[string]Settings
}{types: map[string]Opener{}, settings: map[string]Settings{}}

// Register makes a type of backend known. It is called from a package's init and panics if the name is
// empty or taken, which is a mistake in the program.
func Register(typ string, open Opener) {
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.types[typ]; taken || typ == "" || open == nil {
		panic("backends: Register called twice, or with nothing, for type " + typ)
	}
	registry.types[typ] = open
}

// Types lists the registered types, sorted.
func Types() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.types))
}

// Open opens the backend that cfg describes with the opener of its type.
func Open(ctx context.Context, cfg Config) (Backend, error) {
	registry.RLock()
	open, ok := registry.types[cfg.Type]
	registry.RUnlock()
	if !ok {
		return nil, fmt.Errorf("backend %s: unknown type %q: have %s (is the package imported?)", cfg.Name, cfg.Type, strings.Join(Types(), ", "))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return open(ctx, cfg)
}
