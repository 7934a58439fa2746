package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// relay stands between the workers and a real Elasticsearch. Bulk requests are refused, lost and delayed there, and cut in
// half; copies of them are sent again much later, which its versions keep out. All else passes.
type relay struct {
	*served
	t      *torture
	to     string // the address of Elasticsearch
	client *http.Client

	mu     sync.Mutex
	copies []bulk
	seen   int // bulk requests
}

// bulk is a request that writes: its path, and its lines.
type bulk struct {
	path string
	body []byte
}

func newRelay(t *torture) (r *relay, err error) {
	r = &relay{t: t, to: strings.TrimRight(t.o.Search, "/"), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	r.served, err = serve(r)
	return r, err
}

func (r *relay) close(ctx context.Context) error {
	err := r.served.close(ctx)
	r.client.CloseIdleConnections()
	return err
}

// ServeHTTP passes a request on, or does not. The first part of its path is the id of the process that sent it. It goes on
// when the client has gone.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sender, path, _ := strings.Cut(strings.TrimPrefix(req.URL.EscapedPath(), "/"), "/")
	pid, err := strconv.Atoi(sender)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil { // the client died in the middle
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fault := none
	if path = "/" + path; strings.HasSuffix(path, "/_bulk") {
		fault = r.suffer(pid, bulk{path, body})
	}
	if fault.turnsAway(w) {
		return
	}
	if fault == loseHalf {
		body = firstHalf(body)
	}
	answer, err := r.pass(context.WithoutCancel(req.Context()), req, path, body)
	if err != nil { // it is not known whether it was carried out
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if fault == lose || fault == loseHalf {
		panic(http.ErrAbortHandler)
	}
	answer.write(w)
}

// suffer decides what happens to a bulk request, keeps a copy of it perhaps, and waits for as long as it takes.
func (r *relay) suffer(pid int, b bulk) fault {
	r.keep(b)
	fault, wait := r.t.store.draw()
	r.t.count("search "+faultNames[fault], 1)
	if fault == killDelay {
		r.t.fleet.killPID(pid)
	}
	time.Sleep(wait)
	return fault
}

// keep keeps a copy of one request in eight.
func (r *relay) keep(b bulk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 400
	if r.seen++; r.seen%8 != 0 {
		return
	}
	if len(r.copies) < most {
		r.copies = append(r.copies, b)
	} else {
		r.copies[r.seen/8%most] = b
	}
}

// firstHalf is the first half of a bulk request's actions, of which one that deletes has one line, and others have two. It
// has one action at least, because there is no request without any.
func firstHalf(body []byte) []byte {
	var ends []int // of the actions
	for at := 0; at < len(body); {
		lines := 2
		if bytes.HasPrefix(body[at:], []byte(`{"delete":`)) {
			lines = 1
		}
		for range lines {
			at += bytes.IndexByte(body[at:], '\n') + 1
		}
		ends = append(ends, at)
	}
	return body[:ends[max(0, len(ends)/2-1)]]
}

// answer is one of Elasticsearch's.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) //nolint:gosec // no browser reads it; the client may be gone
}

// pass sends a request of a client to Elasticsearch.
func (r *relay) pass(ctx context.Context, req *http.Request, path string, body []byte) (*answer, error) {
	if req.URL.RawQuery != "" {
		path += "?" + req.URL.RawQuery
	}
	return r.send(ctx, req.Method, path, req.Header, body)
}

func (r *relay) send(ctx context.Context, method, path string, header http.Header, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	to, err := http.NewRequestWithContext(ctx, method, r.to+path, bytes.NewReader(body)) //nolint:gosec // a relay passes paths on
	if err != nil {
		return nil, err
	}
	to.Header = header.Clone()
	to.Header.Del("Accept-Encoding") // the client asks for it by itself, and unpacks it
	res, err := r.client.Do(to)      //nolint:gosec // the same
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Header.Del("Content-Length")
	return &answer{res.StatusCode, res.Header, text}, nil
}

// ask asks Elasticsearch something, past the faults. It answers false where there is no such thing.
func (r *relay) ask(ctx context.Context, method, path, body string, into any) (found bool, err error) {
	a, err := r.send(ctx, method, path, http.Header{"Content-Type": {"application/json"}}, []byte(body))
	switch {
	case err != nil:
		return false, err
	case a.status == http.StatusNotFound:
		return false, nil
	case a.status != http.StatusOK:
		return false, fmt.Errorf("%s answered %d: %s", path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return false, fmt.Errorf("%s: reading the answer: %w", path, err)
	}
	return true, nil
}

// deliver sends the copies of bulk requests again, however old they are: each of their documents must be as it is, be
// refused as older, or be one that is refused anyway.
func (r *relay) deliver(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	copies := r.copies
	r.copies = nil
	r.mu.Unlock()
	for _, b := range copies {
		if err := r.resend(ctx, b); err != nil {
			return fmt.Errorf("sending an old request to backend %s: %w", search, err)
		}
	}
	r.t.count("old requests sent again to "+search, len(copies))
	return nil
}

func (r *relay) resend(ctx context.Context, b bulk) error {
	var answer struct {
		Items []map[string]struct {
			ID     string          `json:"_id"`
			Status int             `json:"status"`
			Error  json.RawMessage `json:"error"`
		} `json:"items"`
	}
	a, err := r.send(ctx, http.MethodPost, b.path+"?require_alias=true", http.Header{"Content-Type": {"application/x-ndjson"}}, b.body)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", b.path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &answer); err != nil {
		return err
	}
	for _, item := range answer.Items {
		for action, it := range item {
			switch it.Status {
			case http.StatusConflict:
				r.t.count("old records that were stale", 1)
			case http.StatusOK, http.StatusCreated, http.StatusNotFound, http.StatusBadRequest:
			default:
				return fmt.Errorf("%s of %s answered %d: %s", action, it.ID, it.Status, it.Error)
			}
		}
	}
	return nil
}

// index is the path of a kind's alias.
func (r *relay) index(kind string) string { return "/" + r.t.o.Prefix + kind }

// has says whether Elasticsearch holds a key: it tells what was acknowledged at once.
func (r *relay) has(ctx context.Context, kind, key string) (bool, error) {
	var answer struct{ Found bool }
	found, err := r.ask(ctx, http.MethodGet, r.index(kind)+"/_doc/"+url.PathEscape(key)+"?_source=false", "", &answer)
	return found && answer.Found, err
}

// documents is everything that Elasticsearch holds of a kind, as PostgreSQL writes JSON.
func (r *relay) documents(ctx context.Context, kind string) (map[string]string, error) {
	var page struct {
		Scroll string               `json:"_scroll_id"`
		Shards struct{ Failed int } `json:"_shards"`
		Hits   struct {
			Hits []struct {
				ID     string          `json:"_id"`
				Source json.RawMessage `json:"_source"`
			}
		}
	}
	docs := map[string]string{}
	if found, err := r.ask(ctx, http.MethodPost, r.index(kind)+"/_refresh", "", &page); err != nil || !found {
		return docs, err
	}
	path, body := r.index(kind)+"/_search?scroll=1m", `{"size": 5000, "sort": ["_doc"]}`
	for {
		page.Hits.Hits = nil
		found, err := r.ask(ctx, http.MethodPost, path, body, &page)
		switch {
		case err != nil:
			return nil, err
		case !found || page.Shards.Failed > 0:
			return nil, fmt.Errorf("not all of %s could be read", r.index(kind))
		case len(page.Hits.Hits) == 0:
			_, err = r.ask(ctx, http.MethodDelete, "/_search/scroll", fmt.Sprintf(`{"scroll_id": %q}`, page.Scroll), &page)
			return r.plain(ctx, docs, err)
		}
		for _, h := range page.Hits.Hits {
			if _, twice := docs[h.ID]; twice {
				return nil, errors.New("key " + h.ID + " comes twice")
			}
			docs[h.ID] = string(h.Source)
		}
		path, body = "/_search/scroll", fmt.Sprintf(`{"scroll": "1m", "scroll_id": %q}`, page.Scroll)
	}
}

// plain is documents without the digests, as PostgreSQL writes them.
func (r *relay) plain(ctx context.Context, docs map[string]string, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(docs))
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = docs[k]
	}
	return pairs(ctx, r.t.pool, `select k, (d::jsonb - 'outflow_digest')::text from unnest($1::text[], $2::text[]) u (k, d)`, keys, texts)
}
