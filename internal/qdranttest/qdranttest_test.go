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
