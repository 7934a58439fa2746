package qdrantserver

import (
	"bytes"
	"cmp"
	"strconv"

	"github.com/google/uuid"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// pointID is a number or a UUID. Numbers come before UUIDs.
type pointID struct {
	uuid   uuid.UUID
	num    uint64
	isUUID bool
}

func idOf(id *pb.PointId) (pointID, error) {
	switch v := id.GetPointIdOptions().(type) {
	case *pb.PointId_Num:
		return pointID{num: v.Num}, nil
	case *pb.PointId_Uuid:
		u, err := uuid.Parse(v.Uuid)
		if err != nil {
			return pointID{}, malformed("Unable to parse UUID: %s", v.Uuid)
		}
		return pointID{uuid: u, isUUID: true}, nil
	default:
		return pointID{}, malformed("Empty ID is not allowed")
	}
}

func idsOf(list []*pb.PointId) ([]pointID, error) {
	ids := make([]pointID, len(list))
	for i, id := range list {
		var err error
		if ids[i], err = idOf(id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (id pointID) proto() *pb.PointId {
	if id.isUUID {
		return pb.NewID(id.uuid.String())
	}
	return pb.NewIDNum(id.num)
}

// String is the id as the server tells it.
func (id pointID) String() string {
	if id.isUUID {
		return id.uuid.String()
	}
	return strconv.FormatUint(id.num, 10)
}

func compareIDs(a, b pointID) int {
	switch {
	case a.isUUID != b.isUUID && a.isUUID:
		return 1
	case a.isUUID != b.isUUID:
		return -1
	case a.isUUID:
		return bytes.Compare(a.uuid[:], b.uuid[:])
	default:
		return cmp.Compare(a.num, b.num)
	}
}

// place is the shard of n in which the point is.
func (id pointID) place(n int) int {
	if n == 1 {
		return 0
	}
	h := id.num
	for _, b := range id.uuid {
		h = h*31 + uint64(b)
	}
	return int(h % uint64(n)) //nolint:gosec // below n
}

func clone[M proto.Message](m M) M { return proto.Clone(m).(M) } //nolint:forcetypeassert // Clone keeps the type
