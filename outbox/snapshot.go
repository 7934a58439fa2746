package outbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is a pg_snapshot: which transactions had committed or aborted when it was taken. Transactions below
// xmin had ended, those from xmax on had not begun to be known, and in between all but those in xip had ended.
// The zero value sees nothing.
type Snapshot struct {
	xmin, xmax uint64
	xip        []uint64 // sorted, in [xmin, xmax)
}

// ParseSnapshot reads the text form of a pg_snapshot, "xmin:xmax:xip,xip".
func ParseSnapshot(text string) (Snapshot, error) {
	bad := func(why string) error { return fmt.Errorf("snapshot %q: %s", text, why) }
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, bad("want xmin:xmax:list")
	}
	var s Snapshot
	var err error
	if s.xmin, err = parseXid(parts[0]); err != nil {
		return Snapshot{}, bad(err.Error())
	}
	if s.xmax, err = parseXid(parts[1]); err != nil {
		return Snapshot{}, bad(err.Error())
	}
	if s.xmin > s.xmax {
		return Snapshot{}, bad("xmin is above xmax")
	}
	if parts[2] == "" {
		return s, nil
	}
	for p := range strings.SplitSeq(parts[2], ",") {
		x, err := parseXid(p)
		if err != nil {
			return Snapshot{}, bad(err.Error())
		}
		if x < s.xmin || x >= s.xmax || len(s.xip) > 0 && x <= s.xip[len(s.xip)-1] {
			return Snapshot{}, bad("the list is not sorted within xmin and xmax")
		}
		s.xip = append(s.xip, x)
	}
	return s, nil
}

// parseXid reads an xid8, which PostgreSQL writes in decimal and never as zero.
func parseXid(text string) (uint64, error) {
	x, err := strconv.ParseUint(text, 10, 64)
	if err != nil || x == 0 {
		return 0, fmt.Errorf("%q is not a transaction id", text)
	}
	return x, nil
}

// String is the text form that PostgreSQL reads and writes.
func (s Snapshot) String() string {
	b := strconv.AppendUint(nil, s.xmin, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, s.xmax, 10)
	b = append(b, ':')
	for i, x := range s.xip {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, x, 10)
	}
	return string(b)
}

// Visible says whether transaction tx had ended when the snapshot was taken, as pg_visible_in_snapshot does.
func (s Snapshot) Visible(tx uint64) bool {
	if tx < s.xmin {
		return true
	}
	if tx >= s.xmax {
		return false
	}
	_, running := slices.BinarySearch(s.xip, tx)
	return !running
}

// Xmin is the oldest transaction that was still running, or Xmax if none was.
func (s Snapshot) Xmin() uint64 { return s.xmin }

// Xmax is the first transaction id that the snapshot knows nothing of.
func (s Snapshot) Xmax() uint64 { return s.xmax }

// Equal says whether both snapshots see the same transactions.
func (s Snapshot) Equal(o Snapshot) bool {
	return s.xmin == o.xmin && s.xmax == o.xmax && slices.Equal(s.xip, o.xip)
}

// Zero says whether the snapshot was never taken.
func (s Snapshot) Zero() bool { return s.xmax == 0 }
