package ngql

// Statements about schemas, and about the server.
type (
	// CreateSpace is CREATE SPACE; Options has partition_num, replica_factor, charset, collate as written.
	CreateSpace struct {
		Name        string
		As          string // CREATE SPACE Name AS As
		IfNotExists bool
		Options     map[string]string
		VidType     *ColumnType
		Comment     *string
	}
	// ColumnDef is a property of a tag or edge type.
	ColumnDef struct {
		Name    string
		Type    ColumnType
		NotNull bool
		Default Expr
		Comment *string
	}
	// SchemaOptions are TTL_DURATION, TTL_COL and COMMENT; nil: not given.
	SchemaOptions struct {
		TTLDuration *int64
		TTLCol      *string
		Comment     *string
	}
	// CreateSchema is CREATE TAG and CREATE EDGE.
	CreateSchema struct {
		Edge        bool
		Name        string
		IfNotExists bool
		Columns     []ColumnDef
		Options     SchemaOptions
	}
	// AlterItem is ADD, CHANGE or DROP.
	AlterItem struct {
		Op      string
		Columns []ColumnDef
	}
	// AlterSchema is ALTER TAG and ALTER EDGE.
	AlterSchema struct {
		Edge    bool
		Name    string
		Items   []AlterItem
		Options SchemaOptions
	}
	// IndexField is a property, or the first Len bytes of it.
	IndexField struct {
		Name string
		Len  int
	}
	// CreateIndex is CREATE TAG INDEX and CREATE EDGE INDEX.
	CreateIndex struct {
		Edge        bool
		Name, On    string
		IfNotExists bool
		Fields      []IndexField
		Comment     *string
	}
	// Drop drops a SPACE, TAG, EDGE, TAG INDEX, EDGE INDEX or USER, or clears a space (What is "CLEAR SPACE").
	Drop struct {
		What, Name string
		IfExists   bool
	}
	// Describe describes a SPACE, TAG, EDGE, TAG INDEX or EDGE INDEX.
	Describe struct{ What, Name string }
	// ShowCreate shows the statement that makes a SPACE, TAG, EDGE, TAG INDEX or EDGE INDEX.
	ShowCreate struct{ What, Name string }
	// Show is any other SHOW; Name is that of a job, a space or a tag where there is one.
	Show struct{ What, Name string }
	// Rebuild is REBUILD TAG INDEX and REBUILD EDGE INDEX; no names: all.
	Rebuild struct {
		Edge  bool
		Names []string
	}
	// SubmitJob is SUBMIT JOB: STATS, COMPACT, FLUSH or BALANCE LEADER.
	SubmitJob struct{ Job string }
	// Use is USE.
	Use struct{ Space string }
	// User is CREATE USER, ALTER USER, CHANGE PASSWORD; Verb says which.
	User struct {
		Verb, Name, Password, Old string
		IfNotExists               bool
	}
	// Role is GRANT ROLE and REVOKE ROLE.
	Role struct {
		Revoke            bool
		Role, Space, User string
	}
	// KillSession is KILL SESSION.
	KillSession struct{ ID Expr }
)
