package qdrant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/qdrantserver"
	"github.com/outflow-db/outflow/internal/qdranttest"
)

// vectors are the columns and settings of a target with one vector of two elements.
func vectors() backends.Target {
	return target([]backends.Column{column("name", "text"), column("v", "real[]")}, dict{"vectors": dict{"v": dict{"size": 2, "distance": "Dot"}}})
}

// record is one for vectors.
func record(key string, version int64, v ...float32) backends.Record {
	r := backends.Record{Key: key, Version: version, Doc: fmt.Appendf(nil, `{"name": "%s of %d"}`, key, version), Raw: [][]byte{nil}}
	if v != nil {
		r.Raw[0] = reals(v...)
	}
	r.Digest = backends.ContentDigest(r.Doc, r.Raw)
	return r
}

func gone(key string, version int64) backends.Record {
	return backends.Record{Key: key, Version: version, Deleted: true}
}

// faulty is a backend on a stand-in of its own, with a prepared target.
func faulty(tb testing.TB) (*backend, *qdrantserver.Server, backends.Target) {
	tb.Helper()
	s := qdranttest.Server(tb, qdrantserver.Options{})
	b, t := opened(tb, map[string]any{"addresses": s.Address()}, nil), vectors()
	b.mustPrepare(tb, t)
	return b, s, t
}

func (b *backend) mustWrite(tb testing.TB, t backends.Target, records ...backends.Record) {
	tb.Helper()
	results, err := b.Write(tb.Context(), t, records)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome != backends.Applied {
			tb.Errorf("%s: %v", records[i].Key, r)
		}
	}
}

// points are the points of a target by key, with everything.
func (b *backend) all(tb testing.TB, t backends.Target) map[string]*pb.RetrievedPoint {
	tb.Helper()
	n, err := b.names(t)
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := b.points.Scroll(tb.Context(), &pb.ScrollPoints{CollectionName: n.collection, Limit: new(uint32(1000)), WithVectors: pb.NewWithVectors(true)})
	if err != nil {
		tb.Fatal(err)
	}
	points := map[string]*pb.RetrievedPoint{}
	for _, p := range answer.Result {
		points[p.Payload[keyField].GetStringValue()] = p
	}
	return points
}

// A record becomes a point with its vectors, its payload, and key, version and digest beside; a vector that became NULL is gone.
func TestWrite(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	everywhere := target(symbols, everything())
	everywhere.Settings["id"] = "uuid5"
	b.mustPrepare(t, everywhere)
	r := backends.Record{Key: "k", Version: 7, Doc: []byte(`{"lang": "go", "body": {"n": 1}}`), Raw: [][]byte{
		reals(1, 2, 3, 4), reals(1, 2),
		{0, 3, 0, 0, 0x3f, 0x80, 0, 0, 0x3f, 0x80, 0, 0, 0x3f, 0x80, 0, 0},
		{0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0x3f, 0x80, 0, 0},
		nil, nil,
	}}
	b.mustWrite(t, everywhere, r)
	p := b.all(t, everywhere)["k"]
	if got := p.Payload; len(got) != 5 || got["lang"].GetStringValue() != "go" || got[versionField].GetIntegerValue() != 7 || got[digestField].GetStringValue() != r.Digest.String() {
		t.Errorf("the payload is %v", got)
	}
	if got := p.Vectors.GetVectors().Vectors; len(got) != 4 || !slices.Equal(got["embedding"].GetDense().Data, []float32{1, 2, 3, 4}) || got["parts"].GetMultiDense() == nil || got["bag"].GetSparse() == nil {
		t.Errorf("the vectors are %v", got)
	}
	r.Version, r.Raw = 8, make([][]byte, 6)
	b.mustWrite(t, everywhere, r)
	if got := b.all(t, everywhere)["k"].Vectors.GetVectors().GetVectors(); len(got) != 0 {
		t.Errorf("vectors of NULL: %v", got)
	}
}

// In one request of several versions each record is judged by its own, and told the version that is stored.
func TestStale(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	to := vectors()
	b.mustPrepare(t, to)
	b.mustWrite(t, to, record("a", 10, 1, 1), record("b", 20, 1, 1), record("c", 30, 1, 1), record("d", 40, 1, 1))
	results, err := b.Write(t.Context(), to, []backends.Record{
		record("a", 9, 2, 2), record("b", 21, 2, 2), gone("c", 29), gone("d", 40), record("e", 1, 2, 2), gone("none", 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []backends.Result{{Outcome: backends.Stale, Stored: 10}, {}, {Outcome: backends.Stale, Stored: 30}, {}, {}, {}}
	if !slices.Equal(results, want) {
		t.Errorf("got %v, want %v", results, want)
	}
	got := map[string]int64{}
	for key, p := range b.all(t, to) {
		got[key] = p.Payload[versionField].GetIntegerValue()
	}
	if len(got) != 4 || got["a"] != 10 || got["b"] != 21 || got["c"] != 30 || got["e"] != 1 {
		t.Errorf("stored are %v", got)
	}
}

// A point without a version is none of ours and does not keep us out, nor does verify see it.
func TestForeign(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	to := vectors()
	b.mustPrepare(t, to)
	id, _ := newIDs(to.Kind, false).of("a")
	n, _ := b.names(to)
	_, err := b.points.Upsert(t.Context(), &pb.UpsertPoints{CollectionName: n.collection, Wait: new(true), Points: []*pb.PointStruct{
		{Id: id, Vectors: pb.NewVectorsMap(nil)},
		{Id: pb.NewIDNum(7), Vectors: pb.NewVectorsMap(nil), Payload: pb.NewValueMap(map[string]any{keyField: "a"})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	entries := func() (list []backends.Entry) {
		if err := b.Scan(t.Context(), to, func(page []backends.Entry) error { list = append(list, page...); return nil }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := entries(); len(got) != 0 {
		t.Errorf("it sees %v", got)
	}
	r := record("a", 1, 1, 2)
	b.mustWrite(t, to, r)
	if got := entries(); !slices.Equal(got, []backends.Entry{{Key: "a", Version: 1, Digest: r.Digest}}) {
		t.Errorf("it sees %v", got)
	}
	b.mustWrite(t, to, gone("a", 2))
	if got := b.all(t, to); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
}

// A record that cannot be a point is refused by itself, before anything is sent, with what to do; deleting it is nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	to := vectors()
	to.Settings["id"] = "key"
	b.mustPrepare(t, to)
	long := record("2", 1)
	long.Doc = fmt.Appendf(nil, `{"name": "%s"}`, strings.Repeat("x", mostRecord))
	bad, torn := record("3", 1), record("4", 1)
	bad.Doc, torn.Raw[0] = []byte("{"), []byte{1}
	records := []backends.Record{record("1", 1), long, bad, torn, record("5", 1, 1, 2, 3), record("06", 1), gone("07", 1), record("8", 1, 1, 2)}
	results, err := b.Write(t.Context(), to, records)
	if err != nil {
		t.Fatal(err)
	}
	for i, says := range []string{"", "bytes", "JSON", "form", "3 elements: want 2", "id of a point", "", ""} {
		e := results[i].Err
		switch {
		case says == "" && results[i].Outcome != backends.Applied:
			t.Errorf("%s: %v", records[i].Key, results[i])
		case says != "" && (e == nil || e.Class != backends.Rejected || e.Key != records[i].Key || e.What() == "" || !strings.Contains(e.Error(), says)):
			t.Errorf("%s: got %v, want %q", records[i].Key, results[i], says)
		}
	}
	if got := b.all(t, to); len(got) != 2 {
		t.Errorf("stored are %v", got)
	}
	if entries, err := b.Lookup(t.Context(), to, []string{"1", "06", "x"}); err != nil || len(entries) != 1 {
		t.Errorf("found %v, %v", entries, err)
	}
}

// When a later request of a Write fails, what was written before stays answered for, and the rest says why.
func TestLaterRequestFails(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t)
	b.pace.Refused(0) // as small as it gets
	big := strings.Repeat("x", leastBytes*2/3)
	var records []backends.Record
	for i := range 4 {
		r := record(fmt.Sprint(i), 1)
		r.Doc = fmt.Appendf(nil, `{"name": "%s"}`, big)
		records = append(records, r)
	}
	s.Fail(qdrantserver.Fault{Method: "Scroll", Trouble: qdrantserver.Refuse, Err: qdrantserver.Unavailable(), Times: 1})
	if _, err := b.Write(t.Context(), to, records); backends.ClassOf(err) != backends.Unknown {
		t.Errorf("after the first request: %v", err)
	}
	s.Heal()
	s.Fail(qdrantserver.Fault{Method: "UpdateBatch", Trouble: qdrantserver.Refuse, Err: qdrantserver.Unavailable(), After: 1, Times: 1})
	results, err := b.Write(t.Context(), to, records)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, r := range results {
		if r.Outcome == backends.Failed {
			failed++
		}
	}
	if results[0].Outcome != backends.Applied || failed == 0 || failed == 4 {
		t.Errorf("got %v", results)
	}
}

// A server that limits writes is left alone for as long as it asks.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t)
	now := time.Now()
	b.now = func() time.Time { return now }
	s.Fail(qdrantserver.Fault{Method: "UpdateBatch", Err: qdrantserver.Exhausted(), RetryAfter: 30 * time.Second, Times: 1})
	for range 3 {
		_, err := b.Write(t.Context(), to, []backends.Record{record("a", 1, 1, 2)})
		if backends.ClassOf(err) != backends.Overload {
			t.Errorf("got %v", err)
		}
	}
	if n := s.Calls("UpdateBatch"); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	now = now.Add(31 * time.Second)
	b.mustWrite(t, to, record("a", 1, 1, 2))
}

// Whatever happens to a request, the class is honest: what may have been applied is unknown.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  qdrantserver.Fault
		class  backends.Class
		advice string
	}{
		"disk full":      {qdrantserver.Fault{Err: qdrantserver.DiskFull()}, backends.Transient, "disk space"},
		"no replica":     {qdrantserver.Fault{Err: qdrantserver.Unavailable()}, backends.Transient, ""},
		"exhausted":      {qdrantserver.Fault{Err: qdrantserver.Exhausted()}, backends.Overload, "write_rate_limit"},
		"cut before":     {qdrantserver.Fault{Trouble: qdrantserver.CutBefore}, backends.Unknown, ""},
		"cut after":      {qdrantserver.Fault{Trouble: qdrantserver.CutAfter}, backends.Unknown, ""},
		"never answered": {qdrantserver.Fault{Trouble: qdrantserver.HoldAfter}, backends.Unknown, ""},
		"never applied":  {qdrantserver.Fault{Trouble: qdrantserver.Hold}, backends.Unknown, ""},
		"applied late":   {qdrantserver.Fault{Trouble: qdrantserver.ApplyLate}, backends.Unknown, ""},
		"check lost":     {qdrantserver.Fault{Trouble: qdrantserver.CutBefore, Method: "Scroll"}, backends.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, to := faulty(t)
			if c.fault.Times = 1; c.fault.Method == "" {
				c.fault.Method = "UpdateBatch"
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if slices.Contains([]qdrantserver.Trouble{qdrantserver.HoldAfter, qdrantserver.Hold, qdrantserver.ApplyLate}, c.fault.Trouble) {
				c.fault.Seen = cancel
			}
			s.Fail(c.fault)
			_, err := b.Write(ctx, to, []backends.Record{record("a", 1, 1, 2)})
			if e := backends.AsError("", "", err); e.Class != c.class || !strings.Contains(e.What(), c.advice) {
				t.Errorf("got %v, want %s", err, c.class)
			}
			for err != nil { // it may find out only now that its connection was cut
				if _, err = b.Write(t.Context(), to, []backends.Record{record("a", 2, 1, 2)}); err != nil && backends.ClassOf(err) != backends.Transient && backends.ClassOf(err) != backends.Unknown {
					t.Fatal(err)
				}
			}
		})
	}
}

// An answer that says less than done is not taken for done.
func TestNotCompleted(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors"}
	done := &pb.UpdateResult{Status: pb.UpdateStatus_Completed}
	if err := b.completed([]*pb.UpdateResult{done, done}, 2); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]*pb.UpdateResult{{done}, {done, {Status: pb.UpdateStatus_WaitTimeout}}, {done, {Status: pb.UpdateStatus_Acknowledged}}, nil} {
		if err := b.completed(bad, 2); backends.ClassOf(err) != backends.Unknown {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}
