package console

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"time"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/outbox"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"span": span}).Parse(pageHTML))

// pageData is what the page shows.
type pageData struct {
	Version  string
	At       time.Time
	Running  bool
	Backends []outbox.BackendStatus
	Parked   []outbox.ParkedGroup
	Health   map[string]health.Backend // by name
	Firing   []alerts.Alert
	Forecast []alerts.Forecast
	Runbook  func(rule string) string
}

// parkedMost bounds the reasons that the page shows.
const parkedMost = 50

// page shows how far every backend is, and what they refused.
func (k *Console) page(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	d := pageData{Version: k.c.Version, At: time.Now().UTC(), Running: k.c.Running()}
	var err error
	if d.Backends, err = outbox.Status(ctx, k.pool); err == nil {
		d.Parked, err = outbox.ParkedGroups(ctx, k.pool, outbox.ParkedFilter{})
		d.Parked = d.Parked[:min(len(d.Parked), parkedMost)]
	}
	if err == nil {
		err = k.wellness(ctx, &d)
	}
	var body bytes.Buffer
	if err == nil {
		err = pageTemplate.Execute(&body, d)
	}
	if err != nil {
		k.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = body.WriteTo(w) // who asked may be gone
}

// wellness finds out how the backends are, what fires, and what will be.
func (k *Console) wellness(ctx context.Context, d *pageData) error {
	settings := k.c.Alerts.WithDefaults()
	d.Health, d.Runbook = map[string]health.Backend{}, settings.RunbookOf
	all, err := health.Read(ctx, k.pool)
	if err != nil {
		return err
	}
	for _, b := range all {
		d.Health[b.Name] = b
	}
	if d.Firing, err = alerts.List(ctx, k.pool, false); err != nil {
		return err
	}
	d.Forecast, err = alerts.Forecasts(ctx, k.pool, settings)
	return err
}

// span is a time span as people read it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
