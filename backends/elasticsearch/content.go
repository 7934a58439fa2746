package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
)

// Count counts the documents of the index, with what was acknowledged.
func (b *backend) Count(ctx context.Context, t backends.Target) (int64, error) {
	n, err := b.names(t)
	if err != nil {
		return 0, err
	}
	if err := b.refresh(ctx, n.index); err != nil {
		return 0, b.classifyFor("count", t, err)
	}
	var answer struct {
		Count  int64 `json:"count"`
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	err = b.ask(ctx, esapi.CountRequest{Index: []string{n.index}}, &answer)
	if err == nil && answer.Shards.Failed > 0 {
		err = b.fail("count", backends.Transient, errPartial)
	}
	if err != nil {
		return 0, b.classifyFor("count", t, err)
	}
	return answer.Count, nil
}

// compareMost is how many documents are got at once.
const compareMost = 500

// Compare gets whole documents by id and compares them with those that PostgreSQL made. Nothing of the answer is
// filtered: the server would read the documents, and numbers would lose digits.
func (b *backend) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	n, err := b.names(t)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for part := range content.Chunks(records, compareMost) {
		differ, err := b.compare(ctx, n.index, part)
		if err != nil {
			return nil, b.classifyFor("compare", t, err)
		}
		found = append(found, differ...)
	}
	return found, nil
}

// document is one of an answer to _mget, as it is stored.
type document struct {
	ID     string          `json:"_id"`
	Found  bool            `json:"found"`
	Error  *cause          `json:"error"`
	Source json.RawMessage `json:"_source"`
}

func (b *backend) compare(ctx context.Context, index string, records []backends.Record) ([]backends.Mismatch, error) {
	wanted := make(map[string]backends.Record, len(records))
	ids := make([]string, 0, len(records))
	for _, r := range records {
		if len(r.Key) <= maxID && r.Key != "" {
			wanted[r.Key], ids = r, append(ids, r.Key)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var answer struct {
		Docs []document `json:"docs"`
	}
	if err := b.ask(ctx, esapi.MgetRequest{Index: index, Body: body(map[string]any{"ids": ids})}, &answer); err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for _, d := range answer.Docs {
		if d.Error != nil {
			return nil, fmt.Errorf("getting documents: %w", &answerError{statusOf(d.Error), d.Error})
		}
		if !d.Found {
			continue
		}
		columns, err := differing(wanted[d.ID].Doc, d.Source)
		if err != nil {
			return nil, fmt.Errorf("reading a document: %w", err)
		}
		if len(columns) > 0 {
			found = append(found, backends.Mismatch{Key: d.ID, Columns: columns})
		}
	}
	return found, nil
}

var errNoSource = errors.New("the index keeps no _source, so that there is nothing to compare")

// differing names the fields in which a stored document is another than the record's, our own left out. An index that
// keeps no _source has no document to compare.
func differing(want, have []byte) ([]string, error) {
	if have == nil {
		return nil, errNoSource
	}
	columns, err := content.Differ(want, have)
	return slices.DeleteFunc(columns, func(name string) bool { return name == digestField }), err
}
