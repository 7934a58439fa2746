package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/outflow-db/outflow/migrations"
)

// Bounds of what a request may ask of the database.
const (
	readyTime  = 3 * time.Second
	statusTime = 20 * time.Second
)

// handler is all of the console.
func (k *Console) handler() (http.Handler, error) {
	registry, err := k.registry()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", k.page)
	mux.Handle("/river/", k.river)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: statusTime, MaxRequestsInFlight: 4, EnableOpenMetrics: true}))
	mux.HandleFunc("GET /status", k.status)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", k.ready)
	return k.c.guarded(mux), nil
}

// ready answers whether the engine can work. Why it cannot is in the log: probes are open to all.
func (k *Console) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	err := errors.New("the engine does not run")
	if k.c.Running() {
		err = migrations.Validate(ctx, k.pool)
	}
	if err != nil {
		k.c.Logger.WarnContext(r.Context(), "not ready", "error", err)
		plain(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	plain(w, http.StatusOK, "ready")
}

// status answers with the state of all backends.
func (k *Console) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	state, err := k.c.Status(ctx)
	if err != nil {
		k.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(state); err != nil {
		k.c.Logger.DebugContext(r.Context(), "the status was not taken", "error", err)
	}
}

// fail answers that the database did not.
func (k *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	k.c.Logger.WarnContext(r.Context(), "the console could not ask the database", "path", r.URL.Path, "error", err)
	plain(w, http.StatusServiceUnavailable, "the database did not answer: the log says why")
}

// plain answers with a line of text.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // who asked may be gone
}
