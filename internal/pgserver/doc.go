// Package pgserver runs a private PostgreSQL server: for the demo, for tests and for benchmarks.
//
// It finds the server's binaries on the machine or fetches them, makes a cluster, and starts it on a port
// of 127.0.0.1 with a random password. It works as root too: the server then runs as the user postgres, or
// as nobody. On Linux the server ends with the process that started it, however that ends.
//
// Life: Start, then any number of Kill and Restart, then Stop.
package pgserver
