package config

import (
	"log/slog"
	"maps"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// Jobs is the configuration as an engine takes it. A backend of type postgres that names no url gets the
// configured database's.
func (c *Config) Jobs(pool *pgxpool.Pool, logger *slog.Logger) jobs.Config {
	j := jobs.Config{Pool: pool, Logger: logger, Settings: c.Worker, Alerts: c.Alerts}
	for _, k := range c.Kinds {
		j.Kinds = append(j.Kinds, outbox.Kind{Name: k.Name, Table: k.Table, List: k.List, Key: k.Key, PerRow: k.PerRow, History: k.History, Dependants: k.Dependants})
	}
	for _, b := range c.Backends {
		j.Backends = append(j.Backends, backends.Config{Name: b.Name, Type: b.Type, Settings: c.settings(b)})
		if b.Worker != (jobs.Limits{}) {
			if j.Limits == nil {
				j.Limits = map[string]jobs.Limits{}
			}
			j.Limits[b.Name] = b.Worker
		}
	}
	for _, p := range c.Projections {
		j.Projections = append(j.Projections, jobs.Projection{Kind: p.Kind, Backend: p.Backend, Target: p.Target, Query: p.Query, Settings: p.Settings})
	}
	return j
}

// settings are those of the backend, with the database's url where none is named.
func (c *Config) settings(b Backend) map[string]any {
	if _, named := b.Settings["url"]; b.Type != "postgres" || named {
		return b.Settings
	}
	settings := map[string]any{"url": c.Database}
	if c.Database == "" {
		settings["url"] = "application_name=outflow" // and the rest from PGHOST and its like
	}
	maps.Copy(settings, b.Settings)
	return settings
}
