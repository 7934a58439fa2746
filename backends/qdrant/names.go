package qdrant

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/outflow-db/outflow/backends"
)

// names are what a target is called in the store. "@" is ours: no target has it in its name.
type names struct {
	alias      string // what readers use
	collection string // the generation
}

var aliasName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// validName says whether an alias may be called so: a collection is a directory, and there is room for a generation.
func validName(s string) bool { return len(s) <= 200 && aliasName.MatchString(s) }

func (b *backend) names(t backends.Target) (names, error) {
	alias := b.prefix + t.Name
	if !validName(alias) {
		e := b.failFor("layout", t, backends.Rejected, fmt.Errorf("target %q cannot be a collection: want letters, digits, . _ and -, beginning with a letter or digit, up to 200", t.Name))
		e.Advice = "give the projection another target"
		return names{}, e
	}
	return names{alias: alias, collection: fmt.Sprintf("%s@%d", alias, max(t.Generation, 1))}, nil
}

// ids makes the ids of points.
type ids struct {
	space uuid.UUID // of the kind
	plain bool      // the key itself is the id
}

// newIDs are the ids of a kind. Anybody can compute them: uuid5(uuid5(NAMESPACE_URL, "outflow:" + kind), key).
func newIDs(kind string, plain bool) ids {
	return ids{space: uuid.NewSHA1(uuid.NameSpaceURL, []byte("outflow:"+kind)), plain: plain}
}

// of is the id of a key. False: the key cannot be an id, because it is neither a UUID nor an unsigned integer in the
// one form that such a value has as text.
func (i ids) of(key string) (*pb.PointId, bool) {
	if !i.plain {
		return pb.NewID(uuid.NewSHA1(i.space, []byte(key)).String()), true
	}
	if n, err := strconv.ParseUint(key, 10, 64); err == nil && strconv.FormatUint(n, 10) == key {
		return pb.NewIDNum(n), true
	}
	if u, err := uuid.Parse(key); err == nil && u.String() == key {
		return pb.NewID(key), true
	}
	return nil, false
}

// text is an id as a key of a map.
func text(id *pb.PointId) string {
	if u := id.GetUuid(); u != "" {
		return u
	}
	return strconv.FormatUint(id.GetNum(), 10)
}
