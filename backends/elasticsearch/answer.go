package elasticsearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

var errLongKey = errors.New("the key is longer than 512 bytes")

// bulkAnswer is what is asked of the answer to a bulk request. Every item keeps its status, even where nothing is
// wrong: the server leaves out items of which nothing is asked, and then places do not fit any more.
type bulkAnswer struct {
	Errors bool       `json:"errors"`
	Items  []bulkItem `json:"items"`
}

var bulkFilter = []string{"errors", "items.*.status", "items.*.error.type", "items.*.error.reason", "items.*.error.caused_by"}

// bulkItem is one item: {"index": {"status": 201}}.
type bulkItem map[string]itemAnswer

type itemAnswer struct {
	Status int    `json:"status"`
	Error  *cause `json:"error"`
}

// cause is the server's own description of a failure. Some parts of the server send a text instead.
type cause struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy *cause `json:"caused_by"`
}

// UnmarshalJSON takes a text as a reason.
func (c *cause) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &c.Reason)
	}
	type plain cause
	return json.Unmarshal(data, (*plain)(c))
}

// String is the chain of reasons in one line.
func (c *cause) String() string {
	var parts []string
	for depth := 0; c != nil && depth < 5; c, depth = c.CausedBy, depth+1 {
		if c.Type != "" {
			parts = append(parts, c.Type+": "+c.Reason)
		} else {
			parts = append(parts, c.Reason)
		}
	}
	return strings.Join(parts, "; ")
}

// answerError is an answer with a status that is no success.
type answerError struct {
	status int
	cause  *cause
}

// Error is the status and what the server says.
func (e *answerError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("HTTP status %d %s", e.status, http.StatusText(e.status))
	}
	return fmt.Sprintf("HTTP status %d: %s", e.status, e.cause)
}

func (e *answerError) typ() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Type
}

// result is what became of one record.
func (b *backend) result(t backends.Target, r backends.Record, item bulkItem) backends.Result {
	for _, a := range item {
		switch {
		case a.Error == nil && a.Status >= 200 && a.Status < 300:
			return backends.Result{}
		case a.Error == nil && a.Status == http.StatusNotFound && r.Deleted:
			return backends.Result{} // it was not there; its version is remembered now
		case a.Status == http.StatusConflict && a.Error != nil:
			return backends.Result{Outcome: backends.Stale, Stored: storedVersion(a.Error.Reason)}
		}
		e := b.classify("write", &answerError{a.Status, a.Error})
		e.Kind, e.Key = t.Kind, r.Key
		return backends.Result{Outcome: backends.Failed, Err: e}
	}
	e := b.failFor("write", t, backends.Unknown, errors.New("the server's answer says nothing of the record"))
	e.Key = r.Key
	return backends.Result{Outcome: backends.Failed, Err: e}
}

// storedVersion reads the version out of the reason of a conflict, such as "[k]: version conflict, current version
// [20] is higher than the one provided [10]". 0 when it is not there. It is looked for from the end, because the
// reason begins with the key, which may say anything.
func storedVersion(reason string) int64 {
	const before = "current version ["
	at := strings.LastIndex(reason, before)
	if at < 0 {
		return 0
	}
	text, _, _ := strings.Cut(reason[at+len(before):], "]")
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return 0
	}
	return v
}
