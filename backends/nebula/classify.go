package nebula

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/endpoints"
)

// settle is how long the servers of a cluster may take to learn of a schema: two heartbeats of 10 s, and some.
const settle = 30 * time.Second

// classify makes an *Error of what a statement came to. An error that is one already stays.
func (b *backend) classify(op string, err error) *backends.Error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		return e
	}
	class, advice := judge(err)
	if class == backends.Schema && b.settling() {
		class, advice = backends.Transient, "nothing to do: the servers learn of a schema that has changed within two heartbeats"
	}
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

// settling says whether a server may not know yet what this backend has changed.
func (b *backend) settling() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.defined) < settle
}

// judge is the class of an error, and advice where there is better than the class's own.
func judge(err error) (backends.Class, string) {
	if lost, ok := errors.AsType[*lostError](err); ok {
		return judgeLost(lost)
	}
	if _, ok := errors.AsType[*endpoints.DownError](err); ok {
		return backends.Transient, endpoints.Advice
	}
	if _, ok := errors.AsType[*sessionsError](err); ok {
		return backends.Transient, "nothing to do if it passes; else lower sessions, or raise graphd's max_sessions_per_ip_per_user"
	}
	if e, ok := errors.AsType[*answerError](err); ok {
		return judgeAnswer(e)
	}
	return backends.Unknown, ""
}

// judgeLost is the class of a request that no server answered.
func judgeLost(e *lostError) (backends.Class, string) {
	if advice := distrust(e.Error()); advice != "" && !e.sent {
		return backends.Denied, advice
	}
	if e.sent {
		return backends.Unknown, ""
	}
	if errors.Is(e.err, context.Canceled) {
		return backends.Transient, ""
	}
	return backends.Transient, "nothing to do: it is retried until a graphd takes connections; if it lasts, look at the graphds and at the setting addresses"
}

// distrust is what to do when the two sides do not agree on what they speak; empty when that is not it.
func distrust(message string) string {
	for _, c := range [][2]string{
		{"x509:", "give the authority that signed the server's certificate as tls.ca, and a name that the certificate has in addresses"},
		{"first record does not look like a TLS handshake", "the server does not speak TLS: take the setting tls away, or switch TLS on there"},
		{"remote error: tls:", "the server refuses this client: look at tls.certificate and tls.key"},
	} {
		if strings.Contains(message, c[0]) {
			return c[1]
		}
	}
	return ""
}

// judgeAnswer is the class of what a graphd says, by its code.
func judgeAnswer(e *answerError) (backends.Class, string) {
	switch e.code { //nolint:exhaustive // the others are for others
	case nebula.ErrorCode_E_BAD_USERNAME_PASSWORD:
		return backends.Denied, "check user and password"
	case nebula.ErrorCode_E_BAD_PERMISSION:
		return backends.Denied, "give the user the role that docs/nebula.md names"
	case nebula.ErrorCode_E_CLIENT_SERVER_INCOMPATIBLE:
		return backends.Denied, "use NebulaGraph 3, or add 3.0.0 to graphd's client_white_list"
	case nebula.ErrorCode_E_SESSION_INVALID, nebula.ErrorCode_E_SESSION_TIMEOUT, nebula.ErrorCode_E_TOO_MANY_CONNECTIONS:
		return backends.Transient, "" // the statement was not looked at
	case nebula.ErrorCode_E_SYNTAX_ERROR, nebula.ErrorCode_E_STATEMENT_EMPTY:
		return judgeSyntax(e.text)
	}
	return judgeText(e.text)
}

func judgeSyntax(text string) (backends.Class, string) {
	if strings.Contains(text, "Query is too large") {
		return backends.Overload, "set statement_bytes to graphd's max_allowed_query_size, or less"
	}
	return backends.Rejected, "the server cannot read a statement: tell the maintainers of Outflow, with what it says"
}

const (
	adviceValue = "mend the value in the row or in the projection's query, or the property's type in the target's settings: " +
		"the record is written again with its next change, or by a retry"
	adviceDisk   = "give storaged's disk space: it takes writes again then"
	adviceMemory = "give the server memory, or raise its memory_tracker_limit_ratio"
	adviceGone   = "nothing to do if it was dropped on purpose: it is made anew; then verify with repair fills it"
	adviceDelay  = "nothing to do: it is sent again, and once more later; if it lasts, look at storaged, or raise graphd's storage_client_timeout_ms"
)

// said is a class by what the server's text has in it. All that storaged refuses has one code, and differs in words only.
type said struct {
	words  string
	class  backends.Class
	advice string
}

// texts are in the order in which they are looked for.
var texts = []said{
	{"RPC failure", backends.Unknown, adviceDelay},
	{"E_RPC_FAILURE", backends.Unknown, adviceDelay},

	{"MemoryExceeded", backends.Overload, adviceMemory},
	{"(-2600)", backends.Overload, adviceMemory},
	{"(-3600)", backends.Overload, adviceMemory},
	{"raft buffer is full", backends.Overload, ""},
	{"E_RAFT_BUFFER_OVERFLOW", backends.Overload, ""},
	{"E_RAFT_TOO_MANY_REQUESTS", backends.Overload, ""},
	{"E_WRITE_STALLED", backends.Overload, ""},

	{"disk is almost full", backends.Transient, adviceDisk},
	{"Not the leader", backends.Transient, ""},
	{"LEADER_CHANGED", backends.Transient, ""},
	{"out of date", backends.Transient, ""},
	{"Write is blocked", backends.Transient, ""},
	{"Atomic operation failed", backends.Transient, ""},
	{"More than one request trying to", backends.Transient, ""},
	{"E_DATA_CONFLICT", backends.Transient, ""},
	{"index locked", backends.Transient, ""},
	{"E_CONSENSUS_ERROR", backends.Transient, ""},
	{"E_LEADER_LEASE_FAILED", backends.Transient, ""},
	{"E_RAFT_", backends.Transient, ""},
	{"Host not enough", backends.Transient, "add storaged hosts (ADD HOSTS), or lower replicas"},
	{"Get UUID Failed", backends.Transient, ""},

	{"SpaceNotFound", backends.Schema, adviceGone},
	{"Space not found", backends.Schema, adviceGone},
	{"TagNotFound", backends.Schema, adviceGone},
	{"Tag not found", backends.Schema, adviceGone},
	{"EdgeNotFound", backends.Schema, adviceGone},
	{"Edge not found", backends.Schema, adviceGone},
	{"IndexNotFound", backends.Schema, adviceGone},
	{"Index not found", backends.Schema, adviceGone},
	{"Schema not exist", backends.Schema, adviceGone},
	{"No schema found", backends.Schema, adviceGone},
	{"Unknown column", backends.Schema, adviceGone},
	{"Column count doesn't match", backends.Schema, adviceGone},
	{"not found the property", backends.Schema, adviceGone},
	{"Invalid column", backends.Schema, adviceGone},
	{"prop not found", backends.Schema, adviceGone},
	{"prop not existed", backends.Schema, adviceGone},
	{"not existed", backends.Schema, adviceGone},
	{"Wrong vertex id type", backends.Schema, "set vid to the type that the space has: outflow plan shows it"},
	{"VID must be", backends.Schema, "set vid to the type that the space has: outflow plan shows it"},
	{"Existed!", backends.Schema, "give the projection another target: a tag, an edge type or an index has this name"},

	{"E_PART_NOT_FOUND", backends.Transient, ""}, // the cluster moves it, or has not made it yet
	{"Part ", backends.Transient, ""},            // … not found

	{"data type does not meet", backends.Rejected, adviceValue},
	{"Invalid field value", backends.Rejected, adviceValue},
	{"not null field", backends.Rejected, adviceValue},
	{"non-nullable property", backends.Rejected, adviceValue},
	{"not nullable", backends.Rejected, adviceValue},
	{"default value", backends.Rejected, adviceValue},
	{"Out of range value", backends.Rejected, adviceValue},
	{"wrong value type", backends.Rejected, adviceValue},
	{"Wrong value type", backends.Rejected, adviceValue},
	{"Insert wrong value", backends.Rejected, adviceValue},
}

// judgeText is the class of what storaged or metad says. What nobody knows may have been applied in part.
func judgeText(text string) (backends.Class, string) {
	for _, s := range texts {
		if strings.Contains(text, s.words) {
			return s.class, s.advice
		}
	}
	return backends.Unknown, ""
}
