package backends

import (
	"context"
	"time"
)

// EndpointState says whether a store is asked at an endpoint.
type EndpointState string

// The states of an endpoint.
const (
	EndpointUp     EndpointState = "up"     // it is asked
	EndpointTrying EndpointState = "trying" // it was down, and is asked once to see whether it is back
	EndpointDown   EndpointState = "down"   // it failed too often in a row: it is left alone for a while
)

// Endpoint is one address of a store, as this process knows it.
type Endpoint struct {
	Address string        `json:"address"` // host:port, or a URL without credentials
	State   EndpointState `json:"state"`
	Since   time.Time     `json:"since"`           // when it came into this state; zero: since it was opened
	Latency time.Duration `json:"latency"`         // of its answers, a moving average, in nanoseconds; 0: there was none
	Error   string        `json:"error,omitempty"` // why it is not up
}

// Failover is a Backend that knows its endpoints apart, and leaves alone those that do not work.
type Failover interface {
	// Endpoints lists them in the order in which they are preferred. It does no I/O.
	Endpoints() []Endpoint

	// Probe asks one endpoint, cheaply, whether it can serve, and takes the answer over into its state. It returns an
	// *Error when it cannot. An address that is none of the store's is an *Error of class Rejected.
	Probe(ctx context.Context, address string) error
}
