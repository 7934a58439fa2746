// Command fetch fetches the Elasticsearch that tests, benchmarks and the demo start, unless it is there, and says where
// it is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/outflow-db/outflow/internal/esserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	dist, err := esserver.Fetch(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(dist + "\n")
}
