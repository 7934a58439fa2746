package elasticsearch

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// classify makes an *Error of what a request came to. An error that is one already stays.
func (b *backend) classify(op string, err error) *backends.Error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		return e
	}
	class, advice := judge(err)
	e := b.fail(op, class, err)
	e.Advice = advice
	return e
}

// classifyFor is classify for one target.
func (b *backend) classifyFor(op string, t backends.Target, err error) *backends.Error {
	e := b.classify(op, err)
	e.Kind = t.Kind
	return e
}

// judge is the class of an error, and advice where there is better than the class's own.
func judge(err error) (backends.Class, string) {
	if errors.Is(err, errNotElasticsearch) {
		return backends.Denied, "correct the setting addresses: something else answers there"
	}
	if e, ok := errors.AsType[*answerError](err); ok {
		return judgeAnswer(e)
	}
	if _, ok := errors.AsType[*endpoints.DownError](err); ok {
		return backends.Transient, endpoints.Advice
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		if notSent(err) {
			return backends.Transient, ""
		}
		return backends.Unknown, ""
	}
	if advice := distrust(err); advice != "" {
		return backends.Denied, advice
	}
	if notSent(err) {
		return backends.Transient, "nothing to do: it is retried until a node takes connections; if it lasts, look at the nodes and at the setting addresses"
	}
	return backends.Unknown, ""
}

// distrust is what to do when the two sides do not agree on TLS; empty when that is not it.
func distrust(err error) string {
	if errors.Is(err, errFingerprint) {
		return "compare tls.fingerprint with the server's certificate"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "give the authority that signed the server's certificate as tls.ca, or its fingerprint as tls.fingerprint"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "the server does not speak TLS: begin its address with http://, or switch TLS on there"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok || strings.Contains(err.Error(), "remote error: tls:") {
		return "the server refuses this client: look at tls.certificate and tls.key"
	}
	return ""
}

// judgeAnswer is the class of what the server said.
func judgeAnswer(e *answerError) (backends.Class, string) {
	switch {
	case e.typ() == "cluster_block_exception":
		return judgeBlock(e)
	case e.typ() == "index_not_found_exception", e.typ() == "alias_not_found_exception":
		return backends.Schema, "nothing to do if it was deleted on purpose: it is made anew; then verify with repair fills it"
	case e.typ() == "unavailable_shards_exception", e.typ() == "no_shard_available_action_exception", e.typ() == "search_phase_execution_exception":
		return backends.Transient, "nothing to do: it is retried until the shards are back; if it lasts, see GET _cluster/allocation/explain"
	case e.typ() == "circuit_breaking_exception":
		return backends.Overload, ""
	}
	switch e.status {
	case http.StatusUnauthorized:
		return backends.Denied, "check username and password, api_key or service_token"
	case http.StatusForbidden:
		return backends.Denied, "grant the rights that docs/elasticsearch.md lists on the indices of this backend"
	case http.StatusTooManyRequests:
		return backends.Overload, ""
	case http.StatusRequestEntityTooLarge:
		return backends.Overload, "nothing to do: batches get smaller; if a single record is too large, raise http.max_content_length"
	case http.StatusNotFound:
		return backends.Schema, ""
	case http.StatusBadRequest:
		return backends.Rejected, rejectedAdvice(e.typ())
	case http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusConflict:
		return backends.Transient, ""
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return backends.Unknown, ""
	}
	if e.status >= 500 {
		return backends.Unknown, ""
	}
	return backends.Rejected, ""
}

// judgeBlock is the class of a cluster block: a full disk makes the server switch writes off, and on again.
func judgeBlock(e *answerError) (backends.Class, string) {
	reason := e.cause.Reason
	switch {
	case strings.Contains(reason, "flood-stage") || strings.Contains(reason, "read-only-allow-delete"):
		return backends.Transient, "give the server's disks space: it takes writes again when they are below the high watermark"
	case strings.Contains(reason, "no master") || strings.Contains(reason, "not recovered"):
		return backends.Transient, "nothing to do: it is retried until the cluster has a master; if it lasts, look at the master-eligible nodes"
	default:
		return backends.Denied, "take the block off the index: see index.blocks in its settings"
	}
}

// rejectedAdvice is what to do about a document that the server refuses.
func rejectedAdvice(typ string) string {
	switch typ {
	case "document_parsing_exception", "mapper_parsing_exception":
		return "mend the value in the row or in the projection's query, or map the field otherwise in the target's setting fields: the record is written again with its next change, or by a retry"
	case "strict_dynamic_mapping_exception":
		return "map the field in the target's setting fields, or leave it out of the projection's query"
	case "illegal_argument_exception":
		return "shorten the value, or let the field's mapping leave long ones out (ignore_above)"
	default:
		return ""
	}
}
