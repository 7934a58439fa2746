// Package console is how an engine is watched over HTTP: a page that tells how far each backend is, River UI, metrics
// for Prometheus, and what probes and scripts ask for.
//
//	/          the page
//	/river/    River UI
//	/metrics   Prometheus
//	/status    the state of all backends as JSON
//	/healthz   200 while the process lives
//	/readyz    200 while the engine runs on a database that answers and is migrated
//
// # Security
//
// On a loopback address the console asks for no credentials unless it has some, and answers only requests whose Host
// names this machine, so that no web page can reach it by a name of its own. On any other address it does not start
// without credentials: a user with a password, a bearer token, or both. The two probes are open to all; they tell
// nothing but yes or no. Requests that change something are refused when they come from pages of another origin.
//
// The console speaks plain HTTP: put it behind something that ends TLS where others share the network.
package console
