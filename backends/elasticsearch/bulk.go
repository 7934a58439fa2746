package elasticsearch

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/outflow-db/outflow/backends"
)

// maxID is the longest _id in bytes: IndexRequest.MAX_DOCUMENT_ID_LENGTH_IN_BYTES. A longer one makes the server
// refuse the whole request.
const maxID = 512

// digestField holds a record's digest in its document.
const digestField = "outflow_digest"

// appendAction adds a record's lines to the body of a bulk request. The version is external_gte: the same version
// may be written again, which mends a document that somebody changed; a lower one is a conflict.
func appendAction(body []byte, r backends.Record) []byte {
	if r.Deleted {
		body = append(body, `{"delete":{"_id":`...)
	} else {
		body = append(body, `{"index":{"_id":`...)
	}
	body = appendString(body, r.Key)
	body = append(body, `,"version":`...)
	body = strconv.AppendInt(body, r.Version, 10)
	body = append(body, `,"version_type":"external_gte"}}`...)
	body = append(body, '\n')
	if r.Deleted {
		return body
	}
	body = append(body, `{"`+digestField+`":"`...)
	body = append(body, r.Digest.String()...)
	body = append(body, '"')
	if members := inner(r.Doc); len(members) > 0 {
		body = append(body, ',')
		body = append(body, members...)
	}
	return append(body, '}', '\n')
}

// inner is what is between the braces of a JSON object that PostgreSQL wrote, which has no line breaks.
func inner(doc []byte) []byte {
	if len(doc) < 2 {
		return nil
	}
	return doc[1 : len(doc)-1]
}

// appendString adds a JSON string. Keys are mostly plain.
func appendString(body []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s) //nolint:errchkjson // a text cannot fail
			return append(body, text...)
		}
	}
	body = append(body, '"')
	body = append(body, s...)
	return append(body, '"')
}

// actionSize is about what appendAction adds.
func actionSize(r backends.Record) int { return len(r.Doc) + len(r.Key) + 128 }

// refusal is why a record cannot be sent, because it would make the server refuse all that goes with it; nil when
// it can.
func (b *backend) refusal(t backends.Target, r backends.Record) *backends.Error {
	if len(r.Key) <= maxID {
		return nil
	}
	e := b.failFor("write", t, backends.Rejected, errLongKey)
	e.Key = r.Key
	e.Advice = "let the projection's kind have a shorter key: Elasticsearch takes 512 bytes"
	return e
}
