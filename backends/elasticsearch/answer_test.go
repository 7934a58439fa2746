package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// Each answer has the class that decides what the engine does.
func TestClasses(t *testing.T) {
	t.Parallel()
	why := func(typ, reason string) *cause { return &cause{Type: typ, Reason: reason} }
	for i, c := range []struct {
		err    error
		class  backends.Class
		advice string
	}{
		{&answerError{403, why("cluster_block_exception", "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block]")}, backends.Transient, "disks"},
		{&answerError{503, why("cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized]")}, backends.Transient, "master"},
		{&answerError{403, why("cluster_block_exception", "index [i] blocked by: [FORBIDDEN/8/index write (api)]")}, backends.Denied, "block"},
		{&answerError{404, why("index_not_found_exception", "no such index [i]")}, backends.Schema, "made anew"},
		{&answerError{503, why("unavailable_shards_exception", "primary shard is not active")}, backends.Transient, "shards"},
		{&answerError{429, why("circuit_breaking_exception", "too large")}, backends.Overload, ""},
		{&answerError{401, nil}, backends.Denied, "password"},
		{&answerError{403, nil}, backends.Denied, "rights"},
		{&answerError{429, why("es_rejected_execution_exception", "queue is full")}, backends.Overload, ""},
		{&answerError{413, nil}, backends.Overload, "max_content_length"},
		{&answerError{404, nil}, backends.Schema, ""},
		{&answerError{400, why("document_parsing_exception", "x")}, backends.Rejected, "mend the value"},
		{&answerError{400, why("strict_dynamic_mapping_exception", "x")}, backends.Rejected, "map the field"},
		{&answerError{400, why("illegal_argument_exception", "x")}, backends.Rejected, "ignore_above"},
		{&answerError{400, why("other", "x")}, backends.Rejected, ""},
		{&answerError{500, nil}, backends.Transient, ""},
		{&answerError{504, nil}, backends.Unknown, ""},
		{&answerError{599, nil}, backends.Unknown, ""},
		{&answerError{418, nil}, backends.Rejected, ""},
		{fmt.Errorf("x: %w", errNotElasticsearch), backends.Denied, "something else answers"},
		{context.DeadlineExceeded, backends.Unknown, ""},
		{errors.Join(context.Canceled, &net.OpError{Op: "dial", Err: io.EOF}), backends.Transient, ""},
		{&net.OpError{Op: "dial", Err: io.EOF}, backends.Transient, "takes connections"},
		{&net.OpError{Op: "read", Err: io.EOF}, backends.Unknown, ""},
	} {
		if class, advice := judge(c.err); class != c.class || !strings.Contains(advice, c.advice) {
			t.Errorf("%d, %v: %v, %q; want %v, %q", i, c.err, class, advice, c.class, c.advice)
		}
	}
}

// What the server says is told in one line, with its causes, and a text is as good as a structure.
func TestReasons(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d"}}`: "HTTP status 400: a: b; c: d",
		`"plain"`: "HTTP status 400: plain",
		`null`:    "HTTP status 400 Bad Request",
	} {
		var c *cause
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Fatal(err)
		}
		if got := (&answerError{400, c}).Error(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	deep := &cause{Reason: "x"}
	deep.CausedBy = deep
	if got := deep.String(); got != "x; x; x; x; x" {
		t.Errorf("a chain without end: %q", got)
	}
}

// The stored version is found in the reason of a conflict, whatever the key says.
func TestStoredVersion(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]int64{
		"[k]: version conflict, current version [20] is higher than the one provided [10]":                       20,
		"[current version [7]]: version conflict, current version [9007199254740991] is higher than the one [1]": 9007199254740991,
		"current version [-1]": 0, "current version [x]": 0, "current version [": 0, "": 0, "version conflict": 0,
	} {
		if got := storedVersion(reason); got != want {
			t.Errorf("%q: %d, want %d", reason, got, want)
		}
	}
}

var things = backends.Target{Kind: "thing", Name: "things"}

func record(key, doc string) backends.Record {
	return backends.Record{Key: key, Version: 7, Doc: []byte(doc), Digest: backends.Digest{1}}
}

// A server that refuses, that is overloaded, or that answers something else is understood; and no answer makes a record
// acknowledged of which it says nothing.
func TestAnswersOfWrite(t *testing.T) {
	t.Parallel()
	two := []backends.Record{record("a", `{"x": 1}`), record("b", `{"x": 2}`)}
	for name, c := range map[string]struct {
		status  int
		body    string
		records []backends.Record
		want    string // class of the error of the whole, or of the results
	}{
		"refused":       {429, `{"error":{"type":"es_rejected_execution_exception","reason":"full"},"status":429}`, two, "error overload"},
		"too large":     {413, ``, two, "error overload"},
		"one too large": {413, ``, two[:1], "error rejected"},
		"items refused": {200, `{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}}]}`, two, "written overload"},
		"gone":          {200, `{"errors":true,"items":[{"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"x"}}},{"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"x"}}}]}`, two, "error schema"},
		"an item less":  {200, `{"errors":false,"items":[{"index":{"status":201}}]}`, two, "error unknown"},
		"an empty item": {200, `{"errors":false,"items":[{"index":{"status":201}},{}]}`, two, "written unknown"},
		"stale":         {200, `{"errors":true,"items":[{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"current version [9] is"}}},{"delete":{"status":404}}]}`, []backends.Record{two[0], {Key: "b", Version: 1, Deleted: true}}, "stale9 written"},
		"no JSON":       {200, `<html>`, two, "error unknown"},
		"a proxy":       {502, `<html>`, two, "error unknown"},
		"not allowed":   {401, ``, two, "error denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, text(c.status, c.body))
			results, err := opened(t, map[string]any{"addresses": s.URL}).Write(t.Context(), things, c.records)
			if got := summary(results, err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

// Whatever mix of items the server answers with, and whichever it leaves out, a record counts as written if its own item
// says so, and else it has failed or is stale; an answer for fewer or more records is none.
func TestMixesOfItems(t *testing.T) {
	t.Parallel()
	var body atomic.Value
	s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body.Load().(string))
	})
	b := opened(t, map[string]any{"addresses": s.URL})
	kinds := []struct {
		item   string
		status int
		good   bool
	}{
		{`{"status":200}`, 200, true},
		{`{"status":201}`, 201, true},
		{`{"status":404}`, 404, false},
		{`{"status":0}`, 0, false},
		{`{}`, 0, false},
		{`{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"current version [9] is"}}`, 409, false},
		{`{"status":200,"error":{"type":"x","reason":"y"}}`, 200, false},
		{`{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}`, 429, false},
		{`{"status":400,"error":{"type":"document_parsing_exception","reason":"x"}}`, 400, false},
		{`{"status":503,"error":{"type":"unavailable_shards_exception","reason":"x"}}`, 503, false},
		{`{"status":500}`, 500, false},
		{`{"status":403,"error":"text"}`, 403, false},
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "records")
		answered := max(0, n+rapid.SampledFrom([]int{0, 0, 0, 0, -1, -2, 1}).Draw(rt, "more"))
		var records []backends.Record
		var items []string
		var want []bool
		for i := range max(n, answered) {
			deleted := rapid.Bool().Draw(rt, "deleted")
			k := rapid.SampledFrom(kinds).Draw(rt, "item")
			records = append(records, backends.Record{Key: fmt.Sprint(i), Version: 7, Doc: []byte(`{}`), Deleted: deleted})
			items = append(items, map[bool]string{true: `{"delete":`, false: `{"index":`}[deleted]+k.item+`}`)
			want = append(want, k.good || deleted && k.item == `{"status":404}`)
		}
		body.Store(`{"errors":` + rapid.SampledFrom([]string{"true", "false"}).Draw(rt, "errors") + `,"items":[` + strings.Join(items[:answered], ",") + `]}`)
		results, err := b.Write(rt.Context(), things, records[:n])
		switch {
		case answered != n && err == nil:
			rt.Fatalf("%d answers for %d records are taken: %v", answered, n, results)
		case err != nil:
			return // nothing is acknowledged
		}
		for i, r := range results {
			if (r.Outcome == backends.Applied) != want[i] {
				rt.Fatalf("%s: %v, %v", items[i], r.Outcome, r.Err)
			}
		}
	})
}

func summary(results []backends.Result, err error) string {
	if err != nil {
		return "error " + string(backends.ClassOf(err))
	}
	var list []string
	for _, r := range results {
		switch r.Outcome {
		case backends.Failed:
			list = append(list, string(r.Err.Class))
		case backends.Stale:
			list = append(list, fmt.Sprint("stale", r.Stored))
		default:
			list = append(list, "written")
		}
	}
	return strings.Join(list, " ")
}

// Something that is no Elasticsearch is not written to twice: it is an error that says so.
func TestNotElasticsearch(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("X-Elastic-Product")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "hello")
		})
		_, err := opened(t, map[string]any{"addresses": s.URL}).Write(t.Context(), things, []backends.Record{record("a", `{}`)})
		if !errors.Is(err, errNotElasticsearch) || backends.ClassOf(err) != backends.Denied {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A proxy before Elasticsearch may answer by itself, that there is too much of something or that it took too long: the
// backend slows down or tries again, and does not pause.
func TestAnswersOfProxies(t *testing.T) {
	t.Parallel()
	for status, class := range map[int]backends.Class{
		401: backends.Denied, 408: backends.Unknown, 413: backends.Overload, 429: backends.Overload, 502: backends.Unknown, 503: backends.Transient, 504: backends.Unknown,
	} {
		s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("X-Elastic-Product")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<html><h1>%d</h1></html>", status)
		})
		_, err := opened(t, map[string]any{"addresses": s.URL}).Write(t.Context(), things, []backends.Record{record("a", `{}`), record("b", `{}`)})
		if errors.Is(err, errNotElasticsearch) || backends.ClassOf(err) != class {
			t.Errorf("%d: %v, want class %s", status, err, class)
		}
	}
}

// When a later request of a Write fails, the records before it keep their results.
func TestLaterRequestFails(t *testing.T) {
	t.Parallel()
	n := 0
	s := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n++; n == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		items := slices.Repeat([]string{`{"index":{"status":201}}`}, strings.Count(string(body), `"_id"`))
		_, _ = fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
	})
	big := `{"x": "` + strings.Repeat("x", 1_200_000) + `"}`
	results, err := opened(t, map[string]any{"addresses": s.URL}).Write(t.Context(), things, []backends.Record{record("a", big), record("b", big), record("c", big)})
	if got := summary(results, err); got != "written transient transient" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Answers of reading that are partial or wrong are errors, never fewer records.
func TestAnswersOfReading(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body  string
		class backends.Class
	}{
		"a shard failed": {`{"id":"p","_shards":{"failed":1},"docs":[{"error":{"type":"shard_not_found_exception","reason":"x"}}]}`, backends.Transient},
		"too slow":       {`{"id":"p","timed_out":true,"docs":[{"error":{"type":"index_not_found_exception","reason":"x"}}]}`, backends.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := opened(t, map[string]any{"addresses": answering(t, text(http.StatusOK, c.body)).URL})
			if err := b.Scan(t.Context(), things, func([]backends.Entry) error { return nil }); backends.ClassOf(err) != c.class {
				t.Errorf("scan: %v", err)
			}
			if _, err := b.Lookup(t.Context(), things, []string{"a"}); err == nil {
				t.Error("lookup found nothing, and said nothing")
			}
		})
	}
}

// Whatever a server answers to a bulk request, a record counts as written only if its own item says so.
func FuzzBulkAnswer(f *testing.F) {
	f.Add([]byte(`{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"current version [9]"}}}]}`))
	f.Add([]byte(`{"items":[{"index":{"status":400,"error":"text"}},{"delete":{"status":404}}]}`))
	f.Add([]byte(`{"items":[{}]}`))
	b := &backend{name: "search"}
	f.Fuzz(func(t *testing.T, body []byte) {
		var a bulkAnswer
		if json.Unmarshal(body, &a) != nil {
			return
		}
		for _, item := range a.Items {
			got := b.result(things, record("a", `{}`), item)
			written := slices.ContainsFunc(slices.Collect(values(item)), func(i itemAnswer) bool { return i.Error == nil && i.Status >= 200 && i.Status < 300 })
			if (got == backends.Result{}) && !written || got.Outcome == backends.Failed && got.Err == nil {
				t.Errorf("%v of %v", got, item)
			}
		}
	})
}

func values(item bulkItem) func(func(itemAnswer) bool) {
	return func(yield func(itemAnswer) bool) {
		for _, v := range item {
			if !yield(v) {
				return
			}
		}
	}
}

// Keys and documents arrive as they are, whatever they hold.
func FuzzBulkBody(f *testing.F) {
	f.Add("k", "v", int64(1))
	f.Add("a\"b\\c\n\x00é", "\u2028</script>", int64(1)<<52)
	f.Fuzz(func(t *testing.T, key, value string, version int64) {
		key, value = strings.ToValidUTF8(key, "?"), strings.ToValidUTF8(value, "?")
		doc, err := json.Marshal(map[string]string{"v": value})
		if err != nil {
			t.Fatal(err)
		}
		body := appendAction(nil, backends.Record{Key: key, Version: version, Doc: doc})
		body = appendAction(body, backends.Record{Key: key, Version: version, Deleted: true})
		lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines: %q", len(lines), body)
		}
		for i, name := range []string{"index", "delete"} {
			var action map[string]struct {
				ID      string `json:"_id"`
				Version int64  `json:"version"`
				Type    string `json:"version_type"`
			}
			if err := json.Unmarshal([]byte(lines[2*i]), &action); err != nil || action[name].ID != key || action[name].Version != version || action[name].Type != "external_gte" {
				t.Errorf("%s: %q: %+v, %v", name, lines[2*i], action, err)
			}
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(lines[1]), &got); err != nil || got["v"] != value || len(got) != 2 {
			t.Errorf("%q: %v, %v", lines[1], got, err)
		}
	})
}
