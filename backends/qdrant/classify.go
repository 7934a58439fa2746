package qdrant

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// classify makes an *Error of what a call came to. An error that is one already stays. A time for which the server
// asked is kept.
func (b *backend) classify(op string, err error) *backends.Error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		return e
	}
	class, advice := judge(err)
	e := b.fail(op, class, err)
	e.Advice = advice
	if c, ok := errors.AsType[*callError](err); ok && c.retryAfter > 0 {
		b.wait(c.retryAfter)
	}
	return e
}

// classifyFor is classify for one target.
func (b *backend) classifyFor(op string, t backends.Target, err error) *backends.Error {
	e := b.classify(op, err)
	e.Kind = t.Kind
	return e
}

const (
	adviceDisk    = "give the server's disk space: it takes writes again then"
	adviceReceive = "raise the setting receive_bytes: an answer of the server is larger"
	adviceRate    = "nothing to do: it waits as long as the server asks; if it lasts, raise the collection's write_rate_limit"
)

// judge is the class of an error, and advice where there is better than the class's own.
func judge(err error) (backends.Class, string) {
	e, ok := errors.AsType[*callError](err)
	if _, down := errors.AsType[*endpoints.DownError](err); down {
		return backends.Transient, endpoints.Advice
	}
	switch {
	case !ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return backends.Unknown, ""
	case !ok:
		return backends.Unknown, ""
	case !e.answered:
		return judgeLost(e)
	default:
		return judgeAnswer(e)
	}
}

// judgeLost is the class of a call that no server answered.
func judgeLost(e *callError) (backends.Class, string) {
	if advice := distrust(e.message); advice != "" {
		return backends.Denied, advice
	}
	switch {
	case e.code == codes.ResourceExhausted: // the answer is larger than we take
		return backends.Overload, adviceReceive
	case e.sent:
		return backends.Unknown, ""
	case e.code == codes.Internal && strings.Contains(e.message, "marshal"):
		return backends.Rejected, "mend the value: it cannot be written as UTF-8"
	default:
		return backends.Transient, "nothing to do: it is retried until a node takes connections; if it lasts, look at the nodes and at the setting addresses"
	}
}

// distrust is what to do when the two sides do not agree on what they speak; empty when that is not it. gRPC tells it in words only.
func distrust(message string) string {
	for _, c := range [][2]string{
		{"x509:", "give the authority that signed the server's certificate as tls.ca, and a name that the certificate has in addresses"},
		{"first record does not look like a TLS handshake", "the server does not speak TLS: take the setting tls away, or switch TLS on there"},
		{"looked like an HTTP/1.1 header", "correct addresses: what answers there does not speak gRPC, which Qdrant does on port 6334"},
		{"remote error: tls:", "the server refuses this client: look at tls.certificate and tls.key"},
	} {
		if strings.Contains(message, c[0]) {
			return c[1]
		}
	}
	return ""
}

// judgeAnswer is the class of what the server said.
func judgeAnswer(e *callError) (backends.Class, string) {
	switch e.code { //nolint:exhaustive // the server has no others
	case codes.InvalidArgument, codes.OutOfRange:
		return backends.Rejected, adviceRejected(e.message)
	case codes.NotFound:
		return backends.Schema, "nothing to do if it was deleted on purpose: it is made anew; then verify with repair fills it"
	case codes.Unauthenticated:
		return backends.Denied, "check api_key"
	case codes.PermissionDenied:
		return backends.Denied, "give the key the rights that docs/qdrant.md lists"
	case codes.Unimplemented:
		return backends.Denied, "use Qdrant 1.17 or newer, and its gRPC port (6334) in addresses"
	case codes.ResourceExhausted:
		if e.retryAfter == 0 && strings.Contains(e.message, "larger than max") {
			return backends.Overload, adviceReceive
		}
		return backends.Overload, adviceRate
	case codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return backends.Unknown, ""
	case codes.Internal, codes.Unavailable, codes.FailedPrecondition:
		if full(e.message) {
			return backends.Transient, adviceDisk
		}
		return judgeTrouble(e)
	}
	return backends.Unknown, ""
}

// judgeTrouble is the class of a server that cannot.
func judgeTrouble(e *callError) (backends.Class, string) {
	switch {
	case strings.Contains(e.message, "decode Protobuf"):
		return backends.Rejected, "mend the value: the server cannot read a request with it"
	case strings.Contains(e.message, "ut of memory"):
		return backends.Overload, "give the server more memory, or its collections on_disk"
	case e.code == codes.Internal:
		return backends.Unknown, "look at the server's log" // some shards may have applied it
	}
	return backends.Transient, ""
}

// full says whether a server complains of its disk.
func full(message string) bool {
	return strings.Contains(message, "No space left on device") || strings.Contains(message, "ut of disk") ||
		strings.Contains(message, "isk usage")
}

// adviceRejected is what to do about a request that the server refuses.
func adviceRejected(message string) string {
	const again = ": the record is written again with its next change, or by a retry"
	switch {
	case strings.Contains(message, "dimension"):
		return "mend the vector, or the size in the target's settings if it is wrong for all of them" + again
	case strings.Contains(message, "Not existing vector name"):
		return "let a new collection take the place of this one, which has not all vectors: outflow rebuild BACKEND KIND --beside"
	case strings.Contains(message, "limit exceeded") || strings.Contains(message, "Limit exceeded"):
		return "raise the limit in the collection's strict_mode_config"
	default:
		return "mend the value in the row or in the projection's query" + again
	}
}
