package console

import (
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// The metrics tell of each endpoint whether it is asked and how fast it answers.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) {
		c.Endpoints = func() map[string][]backends.Endpoint {
			return map[string][]backends.Endpoint{"search": {
				{Address: "http://one:9200", State: backends.EndpointDown},
				{Address: "http://two:9200", State: backends.EndpointUp, Latency: 250 * time.Millisecond},
				{Address: "http://three:9200", State: backends.EndpointTrying},
			}}
		}
	})
	w.get("/metrics", 200, `outflow_endpoint_up{backend="search",endpoint="http://one:9200"} 0`,
		`outflow_endpoint_up{backend="search",endpoint="http://two:9200"} 1`, `outflow_endpoint_up{backend="search",endpoint="http://three:9200"} 0`,
		`outflow_endpoint_seconds{backend="search",endpoint="http://two:9200"} 0.25`)
	if body := open(t, nil).get("/metrics", 200); strings.Contains(body, "outflow_endpoint") {
		t.Error("endpoints are told of by who knows none")
	}
}
