package backendtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
)

// Suite tells Run how to reach the store under test. Open and Source are needed; what is not given is not
// tested.
type Suite struct {
	// Open opens a backend on a store, or a part of one, that is empty and that no other test uses. The
	// suite closes it; what was made in the store is for Open's own cleanup.
	Open func(t testing.TB) backends.Backend

	// Source is a PostgreSQL database, in which the suite makes schemas of its own.
	Source func(t testing.TB) *pgxpool.Pool
	source *pgxpool.Pool // what it answered

	// Settings are the settings of a target of a shape, and whether the store serves such targets. Nil: it
	// serves all of them without settings.
	Settings func(shape Shape) (settings map[string]any, ok bool)

	// Base is the shape of the targets in tests that are not about a shape. Empty: Plain.
	Base Shape

	// Poison makes of a record of shape PoisonShape one that the store refuses for good.
	Poison      func(good backends.Record) backends.Record
	PoisonShape Shape

	// Refresh makes everything that was written readable by Scan and Lookup, for stores that need it.
	Refresh func(ctx context.Context) error

	// Through opens a backend as Open does, with all its connections to the store going to address, where
	// the suite forwards to Address, the store's own host:port, and makes faults.
	Through func(t testing.TB, address string) backends.Backend
	Address string

	// Denied and Unreachable open a backend with wrong credentials, and one whose store is not there.
	Denied, Unreachable func(t testing.TB) backends.Backend

	// Tamper changes the content of a live record behind the backend's back, for stores that recompute
	// digests.
	Tamper func(t testing.TB, b backends.Backend, target backends.Target, key string)

	// HugeValue is the size in bytes of the largest value the store must take. Zero: 4 MiB.
	HugeValue int
}

// Shape is the columns that the records of a target have besides the key.
type Shape string

// The shapes.
const (
	Plain  Shape = "plain"  // name text, n bigint, note text
	Vector Shape = "vector" // name text, embedding real[] of four elements
	Edge   Shape = "edge"   // src text, dst text, typ text, n bigint
	Types  Shape = "types"  // a column of every type of PostgreSQL
)

// shapes are the queries of the projections; @ is the case's schema.
var shapes = map[Shape]string{
	Plain:  `select key, name, n, note from @.item where key = any($1)`,
	Vector: `select key, name, embedding from @.item where key = any($1)`,
	Edge:   `select key, src, dst, typ, n from @.item where key = any($1)`,
	Types:  `select id as key, k.* from @.kind k where id::text = any($1)`,
}

// Run runs the suite, as subtests of t that run in parallel.
func Run(t *testing.T, s Suite) {
	t.Helper()
	s = s.complete(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.unless != nil && c.unless(s) {
				t.Skip("the suite was not given what this needs")
			}
			c.run(t, s)
		})
	}
}

// complete fills in what was left to us.
func (s Suite) complete(tb testing.TB) Suite {
	tb.Helper()
	if s.Base == "" {
		s.Base = Plain
	}
	if s.HugeValue == 0 {
		s.HugeValue = 4 << 20
	}
	s.source = s.Source(tb)
	return s
}

// A test is what a case runs in: a real one, or one that records what would fail it.
type test interface{ testing.TB }

// A testcase is a promise, and what a suite may lack to test it.
type testcase struct {
	name   string
	unless func(Suite) bool
	run    func(test, Suite)
}

var cases = []testcase{
	{"replay", nil, testReplay},
	{"update", nil, testUpdate},
	{"delete", nil, testDelete},
	{"order of answers", nil, testOrderOfAnswers},
	{"stale", nil, testStale},
	{"tombstones", nil, testTombstones},
	{"model", nil, testModel},
	{"permutations", nil, testPermutations},
	{"poison", func(s Suite) bool { return s.Poison == nil }, testPoison},
	{"large batch", nil, testLargeBatch},
	{"types", func(s Suite) bool { return !s.serves(Types) }, testTypes},
	{"vector", func(s Suite) bool { return !s.serves(Vector) }, shapeTest(Vector)},
	{"edge", func(s Suite) bool { return !s.serves(Edge) }, shapeTest(Edge)},
	{"sizes", nil, testSizes},
	{"keys", nil, testKeys},
	{"prepare again", nil, testPrepareAgain},
	{"prepare concurrently", nil, testPrepareConcurrently},
	{"plan", nil, testPlan},
	{"plan more", nil, testPlanMore},
	{"plan nothing", nil, testPlanNothing},
	{"concurrent use", nil, testConcurrentUse},
	{"concurrent versions", nil, testConcurrentVersions},
	{"cancelled", nil, testCancelled},
	{"scan", nil, testScan},
	{"scan while writing", nil, testScanWhileWriting},
	{"scan stops", nil, testScanStops},
	{"lookup", nil, testLookup},
	{"tampered", func(s Suite) bool { return s.Tamper == nil }, testTampered},
	{"content", nil, testContent},
	{"content of every type", func(s Suite) bool { return !s.serves(Types) }, testContentOfEveryType},
	{"content of vectors", func(s Suite) bool { return !s.serves(Vector) }, testContentOfVectors},
	{"count", nil, testCount},
	{"missing target", nil, testMissingTarget},
	{"health", nil, testHealth},
	{"denied", func(s Suite) bool { return s.Denied == nil }, testDenied},
	{"unreachable", func(s Suite) bool { return s.Unreachable == nil }, testUnreachable},
	{"closed", nil, testClosed},
	{"scan page by page", func(s Suite) bool { return s.Through == nil }, testScanPageByPage},
	{"lost answer", func(s Suite) bool { return s.Through == nil }, testLostAnswer},
	{"cut connections", func(s Suite) bool { return s.Through == nil }, testCutConnections},
	{"silent store", func(s Suite) bool { return s.Through == nil }, testSilentStore},
}

func (s Suite) serves(shape Shape) bool {
	_, ok := s.settings(shape)
	return ok
}

func (s Suite) settings(shape Shape) (map[string]any, bool) {
	if s.Settings == nil {
		return nil, true
	}
	return s.Settings(shape)
}
