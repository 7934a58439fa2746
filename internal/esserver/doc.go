// Package esserver runs a private Elasticsearch: for the demo, for tests and for benchmarks.
//
// It needs Java 17 or newer. It finds a distribution or fetches one with Maven, makes a node with a directory of its
// own, and starts it on free ports of 127.0.0.1 without passwords. It works as root too: the server then runs as the
// user nobody. The server ends with the process that started it, however that ends.
//
// Life: Start, then any number of Kill, Stop and Up, of Freeze and Thaw, then Close.
package esserver
