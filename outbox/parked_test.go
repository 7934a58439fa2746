package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// newParked is two backends with parked records: b has two of one reason and one of another, c has one.
func newParked(t *testing.T) world {
	t.Helper()
	w := newWorld(t, "b", "c")
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version, first_at, last_at) values
 ('b', 'k', 't', '1', 'rejected', 'too long', 'shorten it', 7, now() - interval '3 hours', now() - interval '2 hours'),
 ('b', 'k', 't', '2', 'rejected', 'too long', 'shorten it', 8, now() - interval '2 hours', now() - interval '1 hour'),
 ('b', 'l', 't', '1', 'rejected', 'no number', 'mend it', 9, now(), now()),
 ('c', 'k', 'u', '1', 'denied', 'not yours', 'ask', 9, now(), now())`)
	return w
}

// What is parked is told in groups of one reason, the largest first, with the key refused last.
func TestParkedGroups(t *testing.T) {
	t.Parallel()
	w := newParked(t)
	got, err := ParkedGroups(t.Context(), w.pool, ParkedFilter{})
	w.ok(err)
	want := []ParkedGroup{
		{Backend: "b", Kind: "k", Target: "t", Class: "rejected", Error: "too long", Advice: "shorten it", Records: 2, Key: "2"},
		{Backend: "b", Kind: "l", Target: "t", Class: "rejected", Error: "no number", Advice: "mend it", Records: 1, Key: "1"},
		{Backend: "c", Kind: "k", Target: "u", Class: "denied", Error: "not yours", Advice: "ask", Records: 1, Key: "1"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(ParkedGroup{}, "ID", "First", "Last")); diff != "" {
		t.Error(diff)
	}
	if age := got[0].Last.Sub(got[0].First); age != 2*time.Hour {
		t.Errorf("the group lasts %v", age)
	}
}

// A filter chooses by each of its fields, and by all of them together.
func TestParkedRecords(t *testing.T) {
	t.Parallel()
	w := newParked(t)
	for name, c := range map[string]struct {
		filter ParkedFilter
		limit  int
		want   []string
	}{
		"all, the last first": {ParkedFilter{}, 10, []string{"b k 1 of l", "c k 1", "b k 2", "b k 1"}},
		"a limit":             {ParkedFilter{Kind: "k"}, 2, []string{"c k 1", "b k 2"}},
		"backend":             {ParkedFilter{Backend: "c"}, 10, []string{"c k 1"}},
		"target":              {ParkedFilter{Target: "u"}, 10, []string{"c k 1"}},
		"class":               {ParkedFilter{Class: "denied"}, 10, []string{"c k 1"}},
		"keys":                {ParkedFilter{Backend: "b", Kind: "k", Keys: []string{"2", "9"}}, 10, []string{"b k 2"}},
		"nothing":             {ParkedFilter{Backend: "none"}, 10, nil},
	} {
		list, err := ParkedRecords(t.Context(), w.pool, c.filter, c.limit)
		w.ok(err)
		var got []string
		for _, r := range list {
			text := r.Backend + " k " + r.Key
			if r.Kind != "k" {
				text += " of " + r.Kind
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A retry logs the keys for their own backends only, once each, and leaves them parked until they are written.
func TestRetryParked(t *testing.T) {
	t.Parallel()
	w := newParked(t)
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version) values ('b', 'k', 'other', '1', 'rejected', 'x', 'y', 1)`)
	n, err := RetryParked(t.Context(), w.pool, ParkedFilter{Kind: "k"}, "mended")
	w.ok(err)
	if n != 4 {
		t.Errorf("%d records are tried again: want 4", n)
	}
	w.want("retried b k 1 mended", `select what || ' ' || backend || ' ' || kind || ' ' || key || ' ' || reason from outbox.events where details->>'error' = 'x'`)
	w.want("b k {1,2} | c k {1}", `select string_agg(backend || ' ' || kind || ' ' || keys::text, ' | ' order by backend) from outbox.log`)
	w.want("5", `select count(*) from outbox.parked`)
}

// A retry of very many records is cut into rows of the log as all others are.
func TestRetryManyParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version) select 'b', 'k', 't', i::text, 'rejected', 'x', 'y', 1 from generate_series(1, 1201) i`)
	n, err := RetryParked(t.Context(), w.pool, ParkedFilter{}, "")
	w.ok(err)
	if n != 1201 {
		t.Errorf("%d records are tried again", n)
	}
	w.want("500,500,201", `select string_agg(cardinality(keys)::text, ',' order by cardinality(keys) desc) from outbox.log`)
}

// What is dropped is forgotten, and nothing else.
func TestDropParked(t *testing.T) {
	t.Parallel()
	w := newParked(t)
	n, err := DropParked(t.Context(), w.pool, ParkedFilter{Backend: "b", Kind: "k"}, "old test data")
	w.ok(err)
	if n != 2 {
		t.Errorf("%d records were dropped: want 2", n)
	}
	w.want("b l, c k", `select string_agg(backend || ' ' || kind, ', ' order by backend) from outbox.parked`)
	w.want("0", `select count(*) from outbox.log`)
	w.want("dropped b k 1 of t: old test data, dropped b k 2 of t: old test data", `
select string_agg(format('%s %s %s %s of %s: %s', what, backend, kind, key, details->>'target', reason), ', ' order by id) from outbox.events where who = session_user`)
	if _, err := DropParked(t.Context(), w.pool, ParkedFilter{}, ""); !contains(err, "a reason is missing") {
		t.Errorf("without a reason: %v", err)
	}
	w.want("2", `select count(*) from outbox.parked`)
}

// Of very many records that are dropped together a bounded number have events of their own, and one sums all of them up.
func TestDropManyParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version) select 'b', 'k', 't', i::text, 'rejected', 'x' || i, 'y', 1 from generate_series(1, 250) i`)
	n, err := DropParked(t.Context(), w.pool, ParkedFilter{Backend: "b", Class: "rejected"}, "they are of no use")
	w.ok(err)
	if n != 250 {
		t.Errorf("%d records were dropped", n)
	}
	w.want("101", `select count(*) from outbox.events where what = 'dropped'`)
	w.want(`250 {"class": "rejected", "backend": "b"} 10 x1 they are of no use`, `
select format('%s %s %s %s %s', details->>'records', details->>'filter', jsonb_array_length(details->'sample'), details->'sample'->0->>'error', reason)
  from outbox.events where key is null`)
}

// Records that are refused for one reason are one group, whatever their keys and values are, and however they came there;
// other targets and classes are others.
func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "me")
	park := func(target, key, class, text string) Parked {
		return Parked{Kind: "k", Target: target, Key: key, Class: class, Error: text, Advice: "mend it", Version: 1}
	}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{
		park("t", "1", "rejected", "field [a] cannot be 'one' in 1"), park("t", "2", "rejected", "field [a] cannot be 'two' in 2"),
		park("t", "3", "rejected", "field [b] cannot be 'one' in 1"), park("u", "1", "rejected", "field [a] cannot be 'one' in 1"), park("t", "4", "denied", "field [a] cannot be 'one' in 1"),
	}}))
	w.exec(`update outbox.parked set last_at = last_at - interval '1 hour' where key in ('1', '3')`)
	groups := func(f ParkedFilter) string {
		t.Helper()
		list, err := ParkedGroups(t.Context(), w.pool, f)
		w.ok(err)
		var text []string
		for _, g := range list {
			text = append(text, fmt.Sprint(g.Target, " ", g.Class, " ", g.Records, " ", g.Key, " ", g.Error, " ", g.Tries, " ", g.Next == nil))
		}
		return strings.Join(text, "\n")
	}
	want := `t rejected 2 2 field [a] cannot be 'two' in 2 0 true
t denied 1 4 field [a] cannot be 'one' in 1 0 true
t rejected 1 3 field [b] cannot be 'one' in 1 0 true
u rejected 1 1 field [a] cannot be 'one' in 1 0 true`
	if diff := cmp.Diff(want, groups(ParkedFilter{})); diff != "" {
		t.Error(diff)
	}
	id := w.text(`select group_id from outbox.parked where key = '2'`)
	w.exec(`insert into outbox.retries (backend, group_id, kind, target, class, pattern, tries, next_at) select 'b', '` + id + `', 'k', 't', 'rejected', '', 3, now()`)
	if got, want := groups(ParkedFilter{Group: id, Since: time.Now().Add(-time.Minute)}), "t rejected 1 2 field [a] cannot be 'two' in 2 3 false"; got != want {
		t.Errorf("of the last minute: %s", got)
	}
	list, err := ParkedRecords(t.Context(), w.pool, ParkedFilter{Group: id}, 10)
	w.ok(err)
	if len(list) != 2 || list[0].Group != id || list[0].Key != "2" {
		t.Errorf("the group has %+v", list)
	}
	w.ok(tenure.Save(t.Context(), w.pool, tenure.Start, Outcome{Parked: []Parked{park("t", "1", "rejected", "field [b] cannot be 'one' in 1")}}))
	w.want("2", `select count(*) from outbox.parked p where p.group_id = (select group_id from outbox.parked where key = '3')`)
}

// What is parked because of its dependants is logged for all backends again: a row of the log for one backend has none
// followed.
func TestRetryOfDependants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version) values ('b', 'k', '(dependants)', '1', 'rejected', 'x', 'y', 1)`)
	_, err := RetryParked(t.Context(), w.pool, ParkedFilter{}, "")
	w.ok(err)
	w.want("{1} true", `select keys::text || ' ' || (backend is null) from outbox.log`)
}

// What fails says what was being done.
func TestParkedErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, groups := ParkedGroups(over, w.pool, ParkedFilter{})
	_, records := ParkedRecords(over, w.pool, ParkedFilter{}, 1)
	_, retry := RetryParked(over, w.pool, ParkedFilter{}, "")
	_, drop := DropParked(over, w.pool, ParkedFilter{}, "x")
	for want, err := range map[string]error{
		"listing what is parked": groups, "listing what is parked:": records, "logging again what is parked": retry, "dropping what is parked": drop,
	} {
		if !contains(err, want) {
			t.Errorf("got %v, want that %s failed", err, want)
		}
	}
}
