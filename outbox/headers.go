package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// SetHeaders gives headers to all that the caller's transaction changes from now on; nil takes them back. They stay
// in the log with the changes, and workers carry on the trace that traceparent and tracestate name (W3C Trace
// Context). Any OpenTelemetry carrier that is a map will do:
//
//	carrier := propagation.MapCarrier{}
//	otel.GetTextMapPropagator().Inject(ctx, carrier)
//	err := outbox.SetHeaders(ctx, tx, carrier)
//
// In SQL: set local outbox.headers = '{"traceparent": "00-..."}'. A header named all is ignored, and OnRejectHeader must have
// one of its values: an error that holds an *InputError has changed nothing. Any other comes from PostgreSQL, and the
// transaction must be rolled back.
func SetHeaders(ctx context.Context, tx pgx.Tx, headers map[string]string) error {
	text, err := headersText(headers)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, headersSQL, text); err != nil {
		return fmt.Errorf("setting the headers: %w", err)
	}
	return nil
}

const headersSQL = `select set_config('outbox.headers', $1, true)`

// headersText is the setting's value; empty for no headers.
func headersText(headers map[string]string) (string, error) {
	if len(headers) == 0 {
		return "", nil
	}
	var p problems
	badHeaders(&p, headers)
	if err := p.err(); err != nil {
		return "", fmt.Errorf("setting the headers: %w", err)
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return "", fmt.Errorf("setting the headers: %w", err)
	}
	return string(text), nil
}

// badHeaders notes what is wrong with headers that the engine reads.
func badHeaders(p *problems, headers map[string]string) {
	switch v, there := headers[OnRejectHeader]; {
	case there && v != OnRejectPark && v != OnRejectRevert:
		p.add("headers", -1, OnRejectHeader, fmt.Sprintf("%.40q is neither park nor revert", v))
	case v == OnRejectRevert && len(headers[LoadHeader]) > loadMost:
		p.add("headers", -1, LoadHeader, fmt.Sprintf("%d bytes, at most %d are allowed with %s", len(headers[LoadHeader]), loadMost, OnRejectHeader))
	}
}
