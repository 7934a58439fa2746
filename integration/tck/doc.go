// Command tck runs scenarios in NebulaGraph's own form, its technology compatibility kit, against the stand-in of
// package nebulaserver, or against a real server, and tells which pass:
//
//	go run ./integration/tck DIRECTORY
//
// The directory, or OUTFLOW_NEBULA_TCK, has feature files at any depth, and in nba/ and its like the data that some load. The
// server is one in the process, whose clock jumps where a scenario waits; or that of OUTFLOW_TEST_NEBULA, see package
// nebulatest. -v tells every failure in full, -run takes a part of the path or of the name of a scenario.
//
// A scenario is skipped if a statement in it is not interpreted or a step is not known; the table has the reasons.
// The exit status is 1 if a scenario fails.
package main
