package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
)

const (
	scanPage  = 5000
	scanKeep  = "5m" // how long the server keeps the point in time between two pages
	scanParts = 2    // slices that are read side by side
	lookupMax = 1000 // keys of one request
)

// Scan reads a point in time, in slices, by ids, versions and digests and without the documents.
func (b *backend) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	n, err := b.names(t)
	if err != nil {
		return err
	}
	if err := b.refresh(ctx, n.index); err != nil { // what was acknowledged is to be seen
		return b.classifyFor("scan", t, err)
	}
	var pit struct {
		ID string `json:"id"`
	}
	if err := b.ask(ctx, esapi.OpenPointInTimeRequest{Index: []string{n.index}, KeepAlive: scanKeep}, &pit); err != nil {
		return b.classifyFor("scan", t, err)
	}
	defer b.forget(ctx, pit.ID)
	var one sync.Mutex // guards fn and enough
	var enough error
	group, ctx := errgroup.WithContext(ctx)
	for part := range scanParts {
		group.Go(func() error {
			s := slice{b: b, t: t, pit: pit.ID, part: part}
			return s.read(ctx, func(page []backends.Entry) error {
				one.Lock()
				defer one.Unlock()
				if enough == nil {
					enough = fn(page)
				}
				return enough
			})
		})
	}
	return group.Wait()
}

// forget lets the server drop a point in time. If it cannot be told, it does so by itself when nobody asks any more.
func (b *backend) forget(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := b.ask(ctx, esapi.ClosePointInTimeRequest{Body: body(map[string]any{"id": id})}, nil); err != nil {
		b.log.DebugContext(ctx, "a point in time was not closed", "error", err)
	}
}

// slice is one part of a scan.
type slice struct {
	b    *backend
	t    backends.Target
	pit  string
	part int
}

var scanFilter = []string{"pit_id", "timed_out", "_shards.failed", "_shards.failures.reason", "hits.hits._id", "hits.hits._version", "hits.hits.sort", "hits.hits.fields"}

// searchAnswer is a page of hits.
type searchAnswer struct {
	PIT      string `json:"pit_id"`
	TimedOut bool   `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Hits []hit `json:"hits"`
	} `json:"hits"`
}

type hit struct {
	ID      string            `json:"_id"`
	Version int64             `json:"_version"`
	Sort    []json.RawMessage `json:"sort"`
	Fields  struct {
		Digest []string `json:"outflow_digest"`
	} `json:"fields"`
}

// errPartial is an answer that some shard is missing in.
var errPartial = errors.New("not every shard answered")

// read passes the slice's pages on.
func (s *slice) read(ctx context.Context, fn func([]backends.Entry) error) error {
	query := map[string]any{
		"size": scanPage, "version": true, "_source": false, "track_total_hits": false,
		"docvalue_fields": []string{digestField},
		"sort":            []any{map[string]string{"_shard_doc": "asc"}},
		"slice":           map[string]any{"id": s.part, "max": scanParts},
	}
	for {
		query["pit"] = map[string]any{"id": s.pit, "keep_alive": scanKeep}
		var answer searchAnswer
		err := s.b.ask(ctx, esapi.SearchRequest{Body: body(query), FilterPath: scanFilter}, &answer)
		if err == nil && (answer.TimedOut || answer.Shards.Failed > 0) {
			err = s.b.fail("scan", backends.Transient, errPartial)
		}
		if err != nil {
			return s.b.classifyFor("scan", s.t, err)
		}
		hits := answer.Hits.Hits
		if len(hits) == 0 {
			return nil
		}
		if err := fn(entries(hits)); err != nil {
			return err
		}
		query["search_after"] = hits[len(hits)-1].Sort
		if answer.PIT != "" {
			s.pit = answer.PIT
		}
	}
}

func entries(hits []hit) []backends.Entry {
	page := make([]backends.Entry, len(hits))
	for i, h := range hits {
		page[i] = backends.Entry{Key: h.ID, Version: h.Version}
		if len(h.Fields.Digest) == 1 {
			page[i].Digest = digestOf(h.Fields.Digest[0])
		}
	}
	return page
}

// digestOf is a digest as it is stored. One that cannot be read is none of ours: it is the zero digest, which no
// record has, so that verify finds the document different.
func digestOf(text string) backends.Digest {
	d, err := backends.ParseDigest(text)
	if err != nil {
		return backends.Digest{}
	}
	return d
}

// Lookup gets documents by id, which sees what was acknowledged without a refresh.
func (b *backend) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	n, err := b.names(t)
	if err != nil {
		return nil, err
	}
	var entries []backends.Entry
	for len(keys) > 0 {
		part := keys[:min(len(keys), lookupMax)]
		keys = keys[len(part):]
		found, err := b.get(ctx, n.index, part)
		if err != nil {
			return nil, b.classifyFor("lookup", t, err)
		}
		entries = append(entries, found...)
	}
	return entries, nil
}

// got is one document of an answer to _mget.
type got struct {
	ID      string `json:"_id"`
	Found   bool   `json:"found"`
	Version int64  `json:"_version"`
	Error   *cause `json:"error"`
	Source  struct {
		Digest string `json:"outflow_digest"`
	} `json:"_source"`
}

func (b *backend) get(ctx context.Context, index string, keys []string) ([]backends.Entry, error) {
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		if len(k) <= maxID && k != "" {
			ids = append(ids, k)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var answer struct {
		Docs []got `json:"docs"`
	}
	err := b.ask(ctx, esapi.MgetRequest{Index: index, Body: body(map[string]any{"ids": ids}), SourceIncludes: []string{digestField}}, &answer)
	if err != nil {
		return nil, err
	}
	var entries []backends.Entry
	for _, d := range answer.Docs {
		if d.Error != nil {
			return nil, fmt.Errorf("getting documents: %w", &answerError{statusOf(d.Error), d.Error})
		}
		if d.Found {
			entries = append(entries, backends.Entry{Key: d.ID, Version: d.Version, Digest: digestOf(d.Source.Digest)})
		}
	}
	return entries, nil
}
