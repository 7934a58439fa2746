package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// errNotElasticsearch is told by a header that Elasticsearch gives with every answer since 7.14.
var errNotElasticsearch = errors.New("what answers is not Elasticsearch: the header X-Elastic-Product is missing")

// ask sends a request and reads the answer into v, unless that is nil. An answer that is no success is an
// *answerError.
func (b *backend) ask(ctx context.Context, req esapi.Request, v any) (err error) {
	res, err := req.Do(ctx, b.nodes)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	defer func() {
		_, derr := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection can be used again
		err = errors.Join(err, unread(ctx, derr), res.Body.Close())
	}()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return refused(res)
	}
	if res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		return errNotElasticsearch
	}
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}

// unread is an error of reading what nobody needs: it matters only while the caller waits.
func unread(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// refused is the error of an answer that is no success.
func refused(res *esapi.Response) error {
	e := &answerError{status: res.StatusCode}
	var body struct {
		Error *cause `json:"error"`
	}
	err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&body)
	if err == nil {
		e.cause = body.Error
	}
	if err != nil && res.Header.Get("X-Elastic-Product") == "" && !ofProxies(res.StatusCode) {
		return errors.Join(errNotElasticsearch, e)
	}
	return e
}

// ofProxies says whether what stands before an Elasticsearch may give such an answer by itself: it means the same.
func ofProxies(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}
