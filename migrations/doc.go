// Package migrations holds Outflow's schema as goose SQL migrations: River's tables in the schema river,
// the log in the schema outbox, and the ready-made model in the schema ast.
//
// They are applied by Up, which is what `outflow migrate` calls, or by the plain goose command:
//
//	goose -dir migrations postgres "$DATABASE_URL" up
//
// Both keep their account in goose's own table, goose_db_version. Where the database has migrations of its
// own in that table, set GOOSE_TABLE to another name, for the command and for programs that use this
// package alike.
//
// River's migrations are generated, one file per version, because a version may use an enum value that
// the one before it added, which PostgreSQL allows only in another transaction. After an upgrade of River,
// go generate writes the files that are missing; a test fails until they are there.
package migrations

//go:generate go run ./internal/gen
