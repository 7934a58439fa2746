package outbox

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// snapshots generates any snapshot of the first few transactions.
func snapshots() *rapid.Generator[Snapshot] {
	return rapid.Custom(func(t *rapid.T) Snapshot {
		xmax := rapid.Uint64Range(1, 40).Draw(t, "xmax")
		xip := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 40), 0, 12, rapid.ID).Draw(t, "running")
		slices.Sort(xip)
		s := Snapshot{xmax: xmax, xip: slices.DeleteFunc(xip, func(x uint64) bool { return x >= xmax })}
		s.xmin = xmax
		if len(s.xip) > 0 {
			s.xmin = rapid.Uint64Range(1, s.xip[0]).Draw(t, "xmin")
		} else {
			s.xip = nil
		}
		return s
	})
}

// A snapshot sees exactly the transactions below xmax that were not running.
func TestSnapshotSeesWhatHadEnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := snapshots().Draw(t, "snapshot")
		for x := uint64(1); x < 45; x++ {
			if want := x < s.Xmax() && !slices.Contains(s.xip, x); s.Visible(x) != want {
				t.Fatalf("%s: Visible(%d) is %v", s, x, !want)
			}
		}
	})
}

// The text form leads back to the same snapshot.
func TestSnapshotTextIsReversible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, o := snapshots().Draw(t, "snapshot"), snapshots().Draw(t, "other")
		again, err := ParseSnapshot(s.String())
		if err != nil || !again.Equal(s) {
			t.Fatalf("%s came back as %s: %v", s, again, err)
		}
		if s.Equal(o) != (s.String() == o.String()) {
			t.Fatalf("Equal(%s, %s) is %v", s, o, s.Equal(o))
		}
		if s.Zero() || !(Snapshot{}).Zero() {
			t.Fatal("only a snapshot that was never taken is zero")
		}
	})
}

// PostgreSQL has the same view of who is visible, and the same text.
func TestSnapshotAgreesWithPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		s := snapshots().Draw(t, "snapshot")
		var want strings.Builder
		for x := range uint64(45) {
			want.WriteString(strconv.FormatBool(s.Visible(x + 1))[:1])
		}
		var visible, txt string
		err := w.pool.QueryRow(w.Context(), `
select string_agg(left(pg_visible_in_snapshot(x::text::xid8, $1::pg_snapshot)::text, 1), '' order by x), $1::pg_snapshot::text
  from generate_series(1, 45) x`, s.String()).Scan(&visible, &txt)
		if err != nil || visible != want.String() || txt != s.String() {
			t.Fatalf("PostgreSQL reads %s as %s and sees\n%s, want\n%s: %v", s, txt, visible, want.String(), err)
		}
	})
}

// What PostgreSQL refuses as a snapshot is refused, with the text in the error.
func TestParseSnapshotRefuses(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"": "want xmin:xmax:list", "1:2": "want xmin:xmax:list", "1:2:3:4": "want xmin:xmax:list",
		"0:2:": `"0" is not a transaction id`, "1:0:": `"0" is not a transaction id`, "x:2:": `"x" is not a transaction id`,
		"1:-2:": `"-2" is not a transaction id`, "1:99999999999999999999:": "is not a transaction id",
		"3:2:": "xmin is above xmax", "1:5:1,,3": `"" is not a transaction id`,
		"2:5:1": "not sorted within", "1:5:5": "not sorted within", "1:5:3,2": "not sorted within", "1:5:3,3": "not sorted within",
	} {
		_, err := ParseSnapshot(text)
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("%q: got error %v, want one with %s", text, err, why)
		}
	}
}

// Now is a snapshot of the present: it sees what has been committed and not what is open.
func TestNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done, open := w.writes("a"), w.begin()
	at, err := Now(t.Context(), w.pool)
	w.ok(err)
	if id := open.id(); !at.Visible(done) || at.Visible(id) {
		t.Errorf("%s: visible are the committed %d %v, the open %d %v", at, done, at.Visible(done), id, at.Visible(id))
	}
}

// No text makes the parser fail otherwise than by an error, and what it takes it writes back.
func FuzzParseSnapshot(f *testing.F) {
	for _, s := range []string{"1:1:", "3:9:3,5,8", "1:18446744073709551615:", "5:4:", "1:2:3", "::", "1:9:2,2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSnapshot(text)
		if err != nil {
			return
		}
		again, err := ParseSnapshot(s.String())
		if diff := cmp.Diff(s, again, cmp.AllowUnexported(Snapshot{})); diff != "" || err != nil {
			t.Fatalf("%q: %v\n%s", text, err, diff)
		}
		for _, x := range s.xip {
			if s.Visible(x) {
				t.Fatalf("%q: %d is running and visible", text, x)
			}
		}
		if s.Visible(s.Xmax()) || !s.Visible(s.Xmin()-1) || s.Xmin() > s.Xmax() {
			t.Fatalf("%q: wrong bounds", text)
		}
	})
}
