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
// In SQL: set local outbox.headers = '{"traceparent": "00-..."}'. A header named all is ignored. An error comes from
// PostgreSQL, and the transaction must be rolled back.
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
	text, err := json.Marshal(headers)
	if err != nil {
		return "", fmt.Errorf("setting the headers: %w", err)
	}
	return string(text), nil
}
