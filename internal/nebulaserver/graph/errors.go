package graph

import (
	"fmt"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// Error is an answer of graphd's that is not success.
type Error struct {
	Code nebula.ErrorCode
	Text string
}

// Error is the text that the client gets.
func (e *Error) Error() string { return e.Text }

// Failed is an execution error.
func Failed(format string, args ...any) error {
	return &Error{Code: nebula.ErrorCode_E_EXECUTION_ERROR, Text: fmt.Sprintf(format, args...)}
}

// Storage is an execution error that storaged answers.
func Storage(text string) error { return Failed("Storage Error: %s", text) }

// Semantic is a statement that does not fit the schema.
func Semantic(format string, args ...any) error {
	return &Error{Code: nebula.ErrorCode_E_SEMANTIC_ERROR, Text: "SemanticError: " + fmt.Sprintf(format, args...)}
}

// Forbidden is a statement that the user may not run.
func Forbidden(text string) error {
	return &Error{Code: nebula.ErrorCode_E_BAD_PERMISSION, Text: "PermissionError: " + text}
}

// What storaged says, and metad.
var (
	ErrBadVid     = Storage("The VID must be a 64-bit integer or a string fitting space vertex id length limit.")
	ErrType       = Storage("The data type does not meet the requirements. Use the correct type of data.")
	ErrRange      = Storage("Out of range value.")
	ErrNotNull    = Storage("The not null field cannot be null.")
	ErrBadData    = Storage("Invalid data, may be wrong value type.")
	ErrBadField   = Storage("Invalid field value: may be the filed is not NULL or without default value or wrong schema.")
	ErrConflict   = Storage("More than one request trying to add/update/delete one edge/vertex at the same time.")
	ErrNoKey      = Storage("Vertex or edge not found.")
	ErrExisted    = Failed("Existed!")
	ErrBadParam   = Failed("Invalid param!")
	ErrHasIndex   = Failed("Related index exists, please drop index first")
	ErrHistory    = Failed("Schema exisited before!")
	ErrUnsupport  = Failed("Unsupported!")
	ErrNoIndex    = Failed("IndexNotFound: Index not existed!")
	ErrNoSpace    = Failed("SpaceNotFound: Space not existed!")
	ErrNoTag      = Failed("TagNotFound: Tag not existed!")
	ErrNoEdge     = Failed("EdgeNotFound: Edge not existed!")
	ErrNoTagProp  = Failed("Tag prop not existed!")
	ErrNoEdgeProp = Failed("Edge prop not existed!")
)
