// Package pgtest gives tests a real PostgreSQL: one server per test binary, one database per test.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		pool := pgtest.New(t)
//		...
//	}
//
// The server starts with the first test that wants it and is a private one, see package pgserver, that does
// not bother to flush to disk. Which PostgreSQL it is can be chosen:
//
//	OUTFLOW_TEST_POSTGRES=URL          use this running server instead, as a superuser
//	OUTFLOW_TEST_PGBIN=DIRECTORY       use the binaries in this directory
//	OUTFLOW_TEST_PGVERSION=17          use this major version, fetched if need be
package pgtest
