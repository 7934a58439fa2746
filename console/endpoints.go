package console

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outflow-db/outflow/backends"
)

// The stores' endpoints, as this process knows them. Other processes may reach others.
var (
	descEndpointUp      = describe("endpoint_up", "1 if this process asks the store at the endpoint, 0 if it is left alone because it failed too often in a row.", "backend", "endpoint")
	descEndpointSeconds = describe("endpoint_seconds", "How long the endpoint takes to answer, a moving average; 0 if it has not answered yet.", "backend", "endpoint")
)

// endpointUse collects the state of endpoints.
type endpointUse struct {
	of func() map[string][]backends.Endpoint
}

// Describe names the metrics.
func (endpointUse) Describe(out chan<- *prometheus.Desc) {
	out <- descEndpointUp
	out <- descEndpointSeconds
}

// Collect asks the engine.
func (u endpointUse) Collect(out chan<- prometheus.Metric) {
	if u.of == nil {
		return
	}
	for backend, list := range u.of() {
		for _, e := range list {
			out <- gauge(descEndpointUp, one(e.State == backends.EndpointUp), backend, e.Address)
			out <- gauge(descEndpointSeconds, e.Latency.Seconds(), backend, e.Address)
		}
	}
}
