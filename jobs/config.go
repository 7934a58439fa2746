package jobs

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Projection turns one kind into the records of one target of a backend.
type Projection struct {
	Kind    string
	Backend string
	Target  string // the name in the store
	// Query has one parameter, $1, a text[] of keys. It yields at most one row a key: a column named key and any
	// others. A key that yields no row is deleted from the target.
	Query    string
	Settings map[string]any // what the backend's type asks for: fields, indexes, vectors
}

// Settings bound the work. Zero values mean the defaults.
type Settings struct {
	PageKeys     int           // keys of a page, about; default 4000
	PortionBytes int           // bytes of records that one lane reads before it writes them; default 8 MiB; up to three portions are in memory
	BatchRecords int           // records of a request, unless the backend takes fewer; default 1000
	BatchBytes   int           // bytes of a request, unless the backend takes fewer; default 4 MiB
	Lease        time.Duration // after which a dead worker's lane is free; default 10s, at least 1s
	Slice        time.Duration // after which a job makes room for others; default 10s
	Linger       time.Duration // how long a job waits for more before it ends; default 2s
	Patience     time.Duration // how long a job retries a failing store before River retries it; default 15s
	Request      time.Duration // time for one request to a store; default 30s
	SaveEvery    time.Duration // positions are saved this often at most; default 200ms
	Retention    time.Duration // applied rows of the log are kept this long; default 7 days
	Zombie       time.Duration // how long a worker whose end nobody saw may still write; default 24h
	Late         time.Duration // how long a request may still arrive after its sender gave up; default 15m
	Poll         bool          // look for changes instead of being notified: for PgBouncer in transaction mode, and where PREPARE TRANSACTION is used
	Lanes        int           // lanes of backends added from now on; default 1
	RefuseCopy   bool          // fail in a copy of the database, instead of taking its positions over and feeding the same stores
}

// withDefaults fills in what is zero.
func (s Settings) withDefaults() Settings {
	def(&s.PageKeys, 4000)
	def(&s.PortionBytes, 8<<20)
	def(&s.BatchRecords, 1000)
	def(&s.BatchBytes, 4<<20)
	def(&s.Lease, 10*time.Second)
	def(&s.Slice, 10*time.Second)
	def(&s.Linger, 2*time.Second)
	def(&s.Patience, 15*time.Second)
	def(&s.Request, 30*time.Second)
	def(&s.SaveEvery, 200*time.Millisecond)
	def(&s.Retention, 7*24*time.Hour)
	def(&s.Zombie, 24*time.Hour)
	def(&s.Late, 15*time.Minute)
	def(&s.Lanes, 1)
	return s
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// problems lists what is out of range.
func (s Settings) problems() []error {
	var errs []error
	positive := func(name string, ok bool, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("settings: %s is %v, must be %s", name, value, want))
		}
	}
	positive("page keys", s.PageKeys >= 1 && s.PageKeys <= 100_000, s.PageKeys, "1 to 100000")
	positive("portion bytes", s.PortionBytes >= 1<<10, s.PortionBytes, "at least 1024")
	positive("batch records", s.BatchRecords >= 1, s.BatchRecords, "at least 1")
	positive("batch bytes", s.BatchBytes >= 1<<10, s.BatchBytes, "at least 1024")
	positive("lease", s.Lease >= 100*time.Millisecond, s.Lease, "at least 100ms")
	positive("slice", s.Slice > 0, s.Slice, "above zero")
	positive("linger", s.Linger > 0, s.Linger, "above zero")
	positive("patience", s.Patience > 0, s.Patience, "above zero")
	positive("request", s.Request > 0, s.Request, "above zero")
	positive("save every", s.SaveEvery > 0 && s.SaveEvery < s.Lease/2, s.SaveEvery, "above zero and below half the lease")
	positive("retention", s.Retention > 0, s.Retention, "above zero")
	positive("zombie", s.Zombie > 0, s.Zombie, "above zero")
	positive("late", s.Late > 0, s.Late, "above zero")
	positive("lanes", s.Lanes >= 1 && s.Lanes <= 256, s.Lanes, "1 to 256")
	return errs
}

// Config is everything that an engine needs.
type Config struct {
	Pool        *pgxpool.Pool
	Kinds       []outbox.Kind // watched by Setup
	Backends    []backends.Config
	Projections []Projection
	Settings    Settings
	Logger      *slog.Logger // nil: discarded
}

// checked is the configuration with its defaults, or every problem of it.
func (c Config) checked() (Config, error) {
	c.Settings = c.Settings.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	errs := c.Settings.problems()
	if c.Pool == nil {
		errs = append(errs, errors.New("pool is missing"))
	}
	known, kinds, targets := map[string]bool{}, map[string]bool{}, map[[3]string]bool{}
	for _, b := range c.Backends {
		if known[b.Name] {
			errs = append(errs, fmt.Errorf("backend %s is configured twice", b.Name))
		}
		known[b.Name] = true
	}
	for _, k := range c.Kinds {
		kinds[k.Name] = true
	}
	for i, p := range c.Projections {
		if !known[p.Backend] {
			errs = append(errs, fmt.Errorf("projection %d of kind %s: no backend %q is configured", i+1, p.Kind, p.Backend))
		}
		if p.Kind == "" || p.Target == "" || p.Query == "" {
			errs = append(errs, fmt.Errorf("projection %d into backend %s: kind, target and query must not be empty", i+1, p.Backend))
		}
		id := [3]string{p.Backend, p.Kind, p.Target}
		if targets[id] {
			errs = append(errs, fmt.Errorf("projection %d: kind %s goes into target %s of backend %s twice", i+1, p.Kind, p.Target, p.Backend))
		}
		targets[id] = true
	}
	return c, errors.Join(errs...)
}
