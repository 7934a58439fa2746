package backendtest_test

import (
	"errors"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// spoiled marks records that memory's Refuse refuses.
const spoiled = `{"spoiled": true}`

func refuse(_ backends.Target, r backends.Record) error {
	if string(r.Doc) == spoiled {
		return errors.New("spoiled")
	}
	return nil
}

func spoil(r backends.Record) backends.Record {
	r.Doc = []byte(spoiled)
	r.Digest = backends.ContentDigest(r.Doc, nil)
	return r
}

func memorySuite(promises backends.Features) backendtest.Suite {
	return backendtest.Suite{
		Source:      pgtest.Empty,
		Poison:      spoil,
		PoisonShape: backendtest.Plain,
		Open: func(testing.TB) backends.Backend {
			return &backendtest.Memory{Promises: promises, Refuse: refuse}
		},
	}
}

// Memory keeps every promise there is.
func TestMemory(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, memorySuite(backendtest.Everything()))
}

// A store that promises less is not tested for more.
func TestMemoryOfFewPromises(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, memorySuite(backends.Features{MaxRecords: 70}))
}
