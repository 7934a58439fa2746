package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/outflow-db/outflow/backends"
)

// Write sends bulk requests, one after the other, each as large as the pace allows. A request that the server
// refuses for some record's sake is an error of class Rejected: see backends.WriteBisected. When a later request
// fails otherwise, its records and those after it are answered Failed with the reason, those before it as they are.
func (b *backend) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	names, err := b.names(t)
	if err != nil {
		return nil, err
	}
	results := make([]backends.Result, len(records))
	var places []int
	for i, r := range records {
		switch e := b.refusal(t, r); {
		case e == nil:
			places = append(places, i)
		case !r.Deleted: // one that is to be deleted cannot be there
			results[i] = backends.Result{Outcome: backends.Failed, Err: e}
		}
	}
	for sent := 0; sent < len(places); {
		body, n := encode(records, places[sent:], b.pace.Most())
		err := b.bulk(ctx, t, names, body, records, places[sent:sent+n], results)
		if err != nil {
			e := b.classifyFor("write", t, err)
			if sent == 0 || e.Class == backends.Rejected {
				return nil, e
			}
			for _, i := range places[sent:] {
				results[i] = backends.Result{Outcome: backends.Failed, Err: e}
			}
			return results, nil
		}
		sent += n
	}
	return results, nil
}

// encode makes the body of a request of at most so many bytes, but of one record at least, and answers how many of
// the records at places are in it.
func encode(records []backends.Record, places []int, most int) (body []byte, n int) {
	size := 0
	for n < len(places) {
		add := actionSize(records[places[n]])
		if n > 0 && size+add > most {
			break
		}
		size += add
		n++
	}
	body = make([]byte, 0, size+size/16)
	for _, i := range places[:n] {
		body = appendAction(body, records[i])
	}
	return body, n
}

// bulk sends one request and puts the answers into results.
func (b *backend) bulk(ctx context.Context, t backends.Target, names names, body []byte, records []backends.Record, places []int, results []backends.Result) error {
	began, alias := time.Now(), true
	var answer bulkAnswer
	err := b.ask(ctx, esapi.BulkRequest{
		Index: names.write, Body: bytes.NewReader(body), RequireAlias: &alias, FilterPath: bulkFilter,
		Timeout: shardsTimeout(ctx), Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, &answer)
	if err != nil {
		if e := b.classify("write", err); e.Class == backends.Overload || e.Class == backends.Unknown {
			b.pace.Refused(len(body))
			return tooLarge(e, len(places))
		}
		return err
	}
	if len(answer.Items) != len(places) {
		return b.failFor("write", t, backends.Unknown, fmt.Errorf("the server answered for %d of %d records", len(answer.Items), len(places)))
	}
	failed := map[backends.Class]int{}
	for j, i := range places {
		results[i] = b.result(t, records[i], answer.Items[j])
		if e := results[i].Err; e != nil {
			failed[e.Class]++
		}
	}
	if failed[backends.Overload] > 0 {
		b.pace.Refused(len(body))
	} else {
		b.pace.Took(len(body), time.Since(began))
	}
	if failed[backends.Schema] == len(places) { // the index is gone: it is no matter of these records
		return results[places[0]].Err
	}
	return nil
}

// tooLarge is the error of a request of n records: a single record that is too large will always be.
func tooLarge(e *backends.Error, n int) *backends.Error {
	if a, ok := errors.AsType[*answerError](e); ok && a.status == http.StatusRequestEntityTooLarge && n == 1 {
		e.Class = backends.Rejected
		e.Advice = "make the record smaller, or raise the server's http.max_content_length"
	}
	return e
}

// shardsTimeout is how long the server may wait for a shard that is not there: less than we wait for the server, so
// that it can say so.
func shardsTimeout(ctx context.Context) time.Duration {
	const usual = 20 * time.Second
	if until, ok := ctx.Deadline(); ok {
		return max(min(usual, time.Until(until)*2/3), time.Second)
	}
	return usual
}
