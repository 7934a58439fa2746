package nebula

import (
	"context"
	"errors"
	"testing"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
)

// Every code and text of the server has its class.
func TestClassify(t *testing.T) {
	t.Parallel()
	const failed = nebula.ErrorCode_E_EXECUTION_ERROR
	for _, c := range []struct {
		code nebula.ErrorCode
		text string
		want backends.Class
	}{
		{nebula.ErrorCode_E_BAD_USERNAME_PASSWORD, "Bad username/password", backends.Denied},
		{nebula.ErrorCode_E_BAD_PERMISSION, "PermissionError: No permission to write data.", backends.Denied},
		{nebula.ErrorCode_E_CLIENT_SERVER_INCOMPATIBLE, "incompatible", backends.Denied},
		{nebula.ErrorCode_E_SESSION_INVALID, "Session not existed!", backends.Transient},
		{nebula.ErrorCode_E_SESSION_TIMEOUT, "timeout", backends.Transient},
		{nebula.ErrorCode_E_SYNTAX_ERROR, "SyntaxError: syntax error near `x'", backends.Rejected},
		{nebula.ErrorCode_E_SYNTAX_ERROR, "SyntaxError: Query is too large (9 > 8).", backends.Overload},
		{nebula.ErrorCode_E_STATEMENT_EMPTY, "StatementEmpty: ", backends.Rejected},
		{nebula.ErrorCode_E_SEMANTIC_ERROR, "SemanticError: No schema found for `t'", backends.Schema},
		{nebula.ErrorCode_E_SEMANTIC_ERROR, "SemanticError: Unknown column `x' in schema", backends.Schema},
		{nebula.ErrorCode_E_SEMANTIC_ERROR, "SemanticError: Column count doesn't match value count.", backends.Schema},
		{nebula.ErrorCode_E_SEMANTIC_ERROR, "SemanticError: The non-nullable property `x' could not be NULL.", backends.Rejected},
		{failed, "SpaceNotFound: SpaceName `s`", backends.Schema},
		{failed, "TagNotFound: Tag not existed!", backends.Schema},
		{failed, "EdgeNotFound: EdgeName `e`", backends.Schema},
		{failed, "IndexNotFound: No valid index found", backends.Schema},
		{failed, "Wrong vertex id type: 7", backends.Schema},
		{failed, "Existed!", backends.Schema},
		{failed, "Host not enough!", backends.Transient},
		{failed, "Storage Error: RPC failure, probably timeout.", backends.Unknown},
		{failed, "Storage Error: part: 1, error: E_RPC_FAILURE(-3).", backends.Unknown},
		{failed, "Storage Error: Not the leader of 7. Please retry later.", backends.Transient},
		{failed, "Storage Error: Term of part 7 is out of date. Please retry later.", backends.Transient},
		{failed, "Storage Error: Write is blocked when creating snapshot. Please retry later.", backends.Transient},
		{failed, "Storage Error: Part 7 raft buffer is full. Please retry later.", backends.Overload},
		{failed, "Storage Error: Atomic operation failed.", backends.Transient},
		{failed, "Storage Error: More than one request trying to add/update/delete one edge/vertex at the same time.", backends.Transient},
		{failed, "Storage Error: part: 1, error: E_CONSENSUS_ERROR(-3001).", backends.Transient},
		{failed, "Storage Error: part: 1, error: E_WRITE_STALLED(-3011).", backends.Overload},
		{failed, "Storage Error: part: 1, error: E_LEADER_LEASE_FAILED(-3531).", backends.Transient},
		{failed, "Storage Error: part: 1, error: E_RAFT_TOO_MANY_REQUESTS(-3523).", backends.Overload},
		{failed, "Storage Error: part: 1, error: E_RAFT_HOST_PAUSED(-3520).", backends.Transient},
		{failed, "Storage Error: Part 7 not found.", backends.Transient},
		{failed, "GraphMemoryExceeded: (-2600)", backends.Overload},
		{failed, "StorageMemoryExceeded: (-3600)", backends.Overload},
		{failed, "Storage Error: Write wal failed. Probably disk is almost full.", backends.Transient},
		{failed, "Storage Error: The data type does not meet the requirements. Use the correct type of data.", backends.Rejected},
		{failed, "Storage Error: Invalid field value: may be the filed is not NULL or without default value or wrong schema.", backends.Rejected},
		{failed, "Storage Error: The not null field cannot be null.", backends.Rejected},
		{failed, "Storage Error: The not null field doesn't have a default value.", backends.Rejected},
		{failed, "Storage Error: Out of range value.", backends.Rejected},
		{failed, "Storage Error: Invalid data, may be wrong value type.", backends.Rejected},
		{failed, "Storage Error: The VID must be a 64-bit integer or a string fitting space vertex id length limit.", backends.Schema},
		{failed, "Storage Error: Tag prop not found.", backends.Schema},
		{failed, "something that no table has", backends.Unknown},
	} {
		if got, _ := judge(&answerError{c.code, c.text}); got != c.want {
			t.Errorf("%d %s: %s, want %s", c.code, c.text, got, c.want)
		}
	}
}

// What was not answered is unknown if it was sent, and will pass if it was not; what nobody knows may have been done.
func TestClassifyLost(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for err, want := range map[error]backends.Class{
		&lostError{sent: true, err: broken}:           backends.Unknown,
		&lostError{sent: true, err: context.Canceled}: backends.Unknown,
		&lostError{err: broken}:                       backends.Transient,
		&lostError{err: context.Canceled}:             backends.Transient,
		&lostError{err: errors.New("tls: first record does not look like a TLS handshake")}: backends.Denied,
		&sessionsError{broken}: backends.Transient,
		broken:                 backends.Unknown,
	} {
		if got, _ := judge(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	b := &backend{name: "graph"}
	e := b.fail("write", backends.Denied, broken)
	if b.classify("scan", e) != e {
		t.Error("an error that is classified is classified again")
	}
}
