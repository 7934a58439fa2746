package nebulatest_test

import (
	"strings"
	"testing"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/internal/nebulatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Spaces have names of their own, and are dropped at the end of their tests.
func TestSpace(t *testing.T) {
	t.Parallel()
	s := nebulatest.Open(t)
	var name string
	t.Run("make one", func(t *testing.T) {
		name = s.Space(t)
		if other := s.Space(t); other == name {
			t.Fatalf("two spaces are called %s", name)
		}
		r, err := s.Connect(t).Execute("CREATE SPACE "+name+" (vid_type = INT64)", nil)
		if err != nil || r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
			t.Fatalf("%v %s", err, r.GetErrorMsg())
		}
	})
	r, err := s.Connect(t).Execute("DESCRIBE SPACE "+name, nil)
	if err != nil || !strings.Contains(string(r.ErrorMsg), "SpaceNotFound") {
		t.Fatalf("the space is there: %v %s", err, r.GetErrorMsg())
	}
}
