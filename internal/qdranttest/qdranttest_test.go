package qdranttest_test

import (
	"testing"

	pb "github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a test makes under its prefix is gone after it, and nothing else.
func TestPrefix(t *testing.T) {
	t.Parallel()
	service := qdranttest.Client(t, qdranttest.Open(t)).Collections()
	mine, theirs := qdranttest.Prefix(t), ""
	create := func(name string) {
		if _, err := service.Create(t.Context(), &pb.CreateCollection{CollectionName: name}); err != nil {
			t.Fatal(err)
		}
	}
	create(mine + "x")
	t.Run("another", func(t *testing.T) {
		theirs = qdranttest.Prefix(t) + "x"
		create(theirs)
	})
	for name, want := range map[string]bool{mine + "x": true, theirs: false} {
		got, err := service.CollectionExists(t.Context(), &pb.CollectionExistsRequest{CollectionName: name})
		if err != nil || got.Result.Exists != want {
			t.Errorf("%s is there: %v, %v; want %v", name, got, err, want)
		}
	}
}

// A server of the test's own has an address of its own.
func TestServer(t *testing.T) {
	t.Parallel()
	a, b := qdranttest.Server(t, qdrantserver.Options{}), qdranttest.Server(t, qdrantserver.Options{APIKey: "k"})
	if a.Address() == b.Address() {
		t.Error("both have the same address")
	}
}

// A server that is named is used instead of the stand-in, with its key, and cleaned up all the same.
func TestNamed(t *testing.T) { //nolint:paralleltest // the environment belongs to all
	named := qdranttest.Server(t, qdrantserver.Options{APIKey: "k"})
	t.Setenv("OUTFLOW_TEST_QDRANT", named.Address())
	t.Setenv("OUTFLOW_TEST_QDRANT_API_KEY", "k")
	if got := qdranttest.Open(t); got != named.Address() || qdranttest.APIKey() != "k" {
		t.Fatalf("got %s with key %q", got, qdranttest.APIKey())
	}
	service := qdranttest.Client(t, named.Address()).Collections()
	t.Run("make something", func(t *testing.T) {
		if _, err := service.Create(t.Context(), &pb.CreateCollection{CollectionName: qdranttest.Prefix(t) + "x"}); err != nil {
			t.Fatal(err)
		}
	})
	if list, err := service.List(t.Context(), &pb.ListCollectionsRequest{}); err != nil || len(list.Collections) > 0 {
		t.Errorf("left are %v, %v", list, err)
	}
}
