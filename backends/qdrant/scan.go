package qdrant

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"github.com/outflow-db/outflow/backends"
)

const (
	scanPage  = 2000
	lookupMax = 1000 // keys of one request
)

// entryFields are what of a payload Scan and Lookup read.
var entryFields = pb.NewWithPayloadInclude(keyField, versionField, digestField)

// Scan reads ids, keys, versions and digests in the order of the ids. What was acknowledged is there.
func (b *backend) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	m, err := b.model(t)
	if err != nil {
		return err
	}
	request := &pb.ScrollPoints{
		CollectionName: m.collection, Limit: proto.Uint32(scanPage),
		WithPayload: entryFields, WithVectors: pb.NewWithVectors(false),
	}
	foreign := 0
	for {
		answer, err := b.points.Scroll(ctx, request)
		if err != nil {
			return b.classifyFor("scan", t, err)
		}
		page := make([]backends.Entry, 0, len(answer.Result))
		for _, p := range answer.Result {
			if e, ours := m.entry(p); ours {
				page = append(page, e)
			} else {
				foreign++
			}
		}
		if len(page) > 0 {
			if err := fn(page); err != nil {
				return err
			}
		}
		if answer.NextPageOffset == nil {
			break
		}
		request.Offset = answer.NextPageOffset
	}
	if foreign > 0 {
		b.log.WarnContext(ctx, "a collection has points that Outflow did not write", "collection", m.collection, "points", foreign)
	}
	return nil
}

// entry is what a point says of itself. False: its id is not that of its key, so it is none of ours.
func (m *model) entry(p *pb.RetrievedPoint) (backends.Entry, bool) {
	key := p.Payload[keyField].GetStringValue()
	id, ok := m.ids.of(key)
	if !ok || key == "" || text(id) != text(p.Id) {
		return backends.Entry{}, false
	}
	return backends.Entry{
		Key: key, Version: p.Payload[versionField].GetIntegerValue(), Digest: digestOf(p.Payload[digestField].GetStringValue()),
	}, true
}

// digestOf is a digest as it is stored. One that cannot be read is none of ours: it is the zero digest, which no
// record has, so that verify finds the point different.
func digestOf(text string) backends.Digest {
	d, err := backends.ParseDigest(text)
	if err != nil {
		return backends.Digest{}
	}
	return d
}

// Lookup gets points by id.
func (b *backend) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	var entries []backends.Entry
	for len(keys) > 0 {
		part := keys[:min(len(keys), lookupMax)]
		keys = keys[len(part):]
		request := &pb.GetPoints{CollectionName: m.collection, WithPayload: entryFields, WithVectors: pb.NewWithVectors(false)}
		for _, key := range part {
			if id, ok := m.ids.of(key); ok {
				request.Ids = append(request.Ids, id)
			}
		}
		answer, err := b.points.Get(ctx, request)
		if err != nil {
			return nil, b.classifyFor("lookup", t, err)
		}
		for _, p := range answer.Result {
			if e, ours := m.entry(p); ours {
				entries = append(entries, e)
			}
		}
	}
	return entries, nil
}
