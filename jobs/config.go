package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/health"
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
	PortionBytes int           // bytes of records that one lane reads before it writes them; default 8 MiB, less when many lanes are at work
	MemoryBytes  int           // bytes of records that all lanes of the process hold at once, about: each has up to three portions of them, and one record at least; default 128 MiB
	BatchRecords int           // records of a request, unless the backend takes fewer; default: what suits the backend, 1000 for most
	BatchBytes   int           // bytes of a request, unless the backend takes fewer; default 4 MiB
	Lease        time.Duration // after which a dead worker's lane is free; default 10s, at least 100ms
	Slice        time.Duration // after which a job makes room for others; default 10s
	Linger       time.Duration // how long a job waits for more before it ends; default 2s
	Patience     time.Duration // how long a job retries a failing store before River retries it; default 15s
	Request      time.Duration // time for one request to a store; default 30s
	Grace        time.Duration // how long a stop lets requests under way go on before it cuts them; default 15s
	SaveEvery    time.Duration // positions are saved this often at most; default 200ms
	Retention    time.Duration // applied rows of the log are kept this long; default 7 days
	Audit        time.Duration // pages and events are kept this long; default: the retention
	History      time.Duration // previous rows of kinds with history are kept this long; default 7 days
	Zombie       time.Duration // how long a worker whose end nobody saw may still write; default 24h
	Late         time.Duration // how long a request may still arrive after its sender gave up; default 15m
	Poll         bool          // look for changes instead of being notified: for PgBouncer in transaction mode, and where PREPARE TRANSACTION is used
	Lanes        int           // lanes of backends added from now on; default 1
	RefuseCopy   bool          // fail in a copy of the database, instead of taking its positions over and feeding the same stores
	RetryFirst   time.Duration // after which parked records are tried again first; it doubles with each time in a row that none is taken; default 1m
	RetryMost    time.Duration // the longest such pause; default 6h
	ParkLimit    int           // a backend pauses when it refused so many records for one reason within ten minutes, and more than it took; default 1000, NoParkLimit: never
}

// NoParkLimit is a ParkLimit that lets a backend park whatever it refuses.
const NoParkLimit = -1

// Limits are settings of one backend alone. Zero values mean those of Settings.
type Limits struct {
	Lanes        int           // as Settings.Lanes
	BatchRecords int           // as Settings.BatchRecords
	BatchBytes   int           // as Settings.BatchBytes
	Patience     time.Duration // as Settings.Patience
	Request      time.Duration // as Settings.Request
	InTurn       bool          // fresh changes wait for their turn: while a lane is far behind nothing is written before it
	Rate         int           // records a second that all lanes of a process write together at most; zero: any number
	Verify       Schedule      // when the backend is verified without being asked to; zero: never
	ParkLimit    int           // as Settings.ParkLimit
}

// within is the settings with the limits instead of theirs.
func (l Limits) within(s Settings) Settings {
	s.Lanes, s.BatchRecords, s.BatchBytes = cmp.Or(l.Lanes, s.Lanes), cmp.Or(l.BatchRecords, s.BatchRecords), cmp.Or(l.BatchBytes, s.BatchBytes)
	s.Patience, s.Request = cmp.Or(l.Patience, s.Patience), cmp.Or(l.Request, s.Request)
	s.ParkLimit = cmp.Or(l.ParkLimit, s.ParkLimit)
	return s
}

// withDefaults fills in what is zero.
func (s Settings) withDefaults() Settings {
	def(&s.PageKeys, 4000)
	def(&s.PortionBytes, 8<<20)
	def(&s.MemoryBytes, 128<<20)
	def(&s.BatchBytes, 4<<20)
	def(&s.Lease, 10*time.Second)
	def(&s.Slice, 10*time.Second)
	def(&s.Linger, 2*time.Second)
	def(&s.Patience, 15*time.Second)
	def(&s.Request, 30*time.Second)
	def(&s.Grace, 15*time.Second)
	def(&s.SaveEvery, 200*time.Millisecond)
	def(&s.Retention, 7*24*time.Hour)
	def(&s.Audit, s.Retention)
	def(&s.History, 7*24*time.Hour)
	def(&s.Zombie, 24*time.Hour)
	def(&s.Late, 15*time.Minute)
	def(&s.Lanes, 1)
	def(&s.RetryFirst, time.Minute)
	def(&s.RetryMost, max(6*time.Hour, s.RetryFirst))
	def(&s.ParkLimit, 1000)
	return s
}

// MemoryLimit is what debug.SetMemoryLimit suits a process that runs one engine with these settings and little else:
// the records that its lanes hold, once more what is made of them for requests, once more what is garbage, and a base.
// An engine does not set it, because the process is not its own.
func (s Settings) MemoryLimit() int64 { return 3*int64(s.withDefaults().MemoryBytes) + 36<<20 }

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
	positive("memory bytes", s.MemoryBytes >= 1<<20, s.MemoryBytes, "at least 1048576")
	positive("batch records", s.BatchRecords >= 0, s.BatchRecords, "at least 1")
	positive("batch bytes", s.BatchBytes >= 1<<10, s.BatchBytes, "at least 1024")
	positive("lease", s.Lease >= 100*time.Millisecond, s.Lease, "at least 100ms")
	positive("slice", s.Slice > 0, s.Slice, "above zero")
	positive("linger", s.Linger > 0, s.Linger, "above zero")
	positive("patience", s.Patience > 0, s.Patience, "above zero")
	positive("request", s.Request > 0, s.Request, "above zero")
	positive("grace", s.Grace > 0, s.Grace, "above zero")
	positive("save every", s.SaveEvery > 0 && s.SaveEvery < s.Lease/2, s.SaveEvery, "above zero and below half the lease")
	positive("retention", s.Retention > 0, s.Retention, "above zero")
	positive("audit", s.Audit > 0, s.Audit, "above zero")
	positive("history", s.History > 0, s.History, "above zero")
	positive("zombie", s.Zombie > 0, s.Zombie, "above zero")
	positive("late", s.Late > 0, s.Late, "above zero")
	positive("retry first", s.RetryFirst > 0, s.RetryFirst, "above zero")
	positive("retry most", s.RetryMost >= s.RetryFirst, s.RetryMost, "at least retry first")
	positive("park limit", s.ParkLimit == NoParkLimit || s.ParkLimit >= 1, s.ParkLimit, "at least 1, or NoParkLimit")
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
	Limits      map[string]Limits    // of single backends, by name
	Logger      *slog.Logger         // nil: discarded
	Observer    Observer             // is told what the engine does; nil: nobody
	Tracing     trace.TracerProvider // makes a span of each page and of each request to a store; nil: none
	Health      health.Pace          // how often the engine looks how its stores are
	Alerts      alerts.Settings      // what operators are told, and where
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
	c.Health, c.Alerts = c.Health.WithDefaults(), c.Alerts.WithDefaults()
	errs = append(errs, c.Alerts.Problems()...)
	errs = append(errs, c.backendProblems()...)
	errs = append(errs, c.projectionProblems()...)
	kinds := map[string]bool{}
	for _, k := range c.Kinds {
		if kinds[k.Name] {
			errs = append(errs, fmt.Errorf("kind %s is configured twice", k.Name))
		}
		kinds[k.Name] = true
	}
	return c, errors.Join(errs...)
}

// settings are those for the backend.
func (c Config) settings(backend string) Settings { return c.Limits[backend].within(c.Settings) }

// backendName is the form of a backend's name, which River's queues have as well.
var backendName = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)

// backendProblems lists what is wrong with the backends.
func (c Config) backendProblems() []error {
	var errs []error
	known := map[string]bool{}
	for _, b := range c.Backends {
		switch {
		case known[b.Name]:
			errs = append(errs, fmt.Errorf("backend %s is configured twice", b.Name))
		case !backendName.MatchString(b.Name) || len(b.Name) > 63:
			errs = append(errs, fmt.Errorf("backend %q: a name has small letters and digits, single - or _ between them, and is up to 63 long", b.Name))
		case b.Name == maintenance:
			errs = append(errs, fmt.Errorf("backend %s: the name is taken by a queue of the engine's own", b.Name))
		}
		for _, err := range c.Limits[b.Name].Verify.problems() {
			errs = append(errs, fmt.Errorf("backend %s: %w", b.Name, err))
		}
		for _, err := range c.settings(b.Name).problems() {
			if !slices.ContainsFunc(c.Settings.problems(), func(e error) bool { return e.Error() == err.Error() }) {
				errs = append(errs, fmt.Errorf("backend %s: %w", b.Name, err))
			}
		}
		known[b.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Limits)) {
		if !known[name] {
			errs = append(errs, fmt.Errorf("limits of backend %s: it is not configured", name))
		}
	}
	return errs
}

// projectionProblems lists what is wrong with the projections by themselves.
func (c Config) projectionProblems() []error {
	var errs []error
	targets := map[[2]string]string{}
	for i, p := range c.Projections {
		if !slices.ContainsFunc(c.Backends, func(b backends.Config) bool { return b.Name == p.Backend }) {
			errs = append(errs, fmt.Errorf("projection %d of kind %s: no backend %q is configured", i+1, p.Kind, p.Backend))
		}
		if p.Kind == "" || p.Target == "" || p.Query == "" {
			errs = append(errs, fmt.Errorf("projection %d into backend %s: kind, target and query must not be empty", i+1, p.Backend))
		}
		id := [2]string{p.Backend, p.Target}
		if other, taken := targets[id]; taken { // two kinds there would overwrite each other's keys
			errs = append(errs, fmt.Errorf("projection %d: target %s of backend %s is that of kind %s already", i+1, p.Target, p.Backend, other))
		}
		targets[id] = p.Kind
	}
	return errs
}

// of is the projections into the backend.
func of(backend string, all []Projection) []Projection {
	return slices.DeleteFunc(slices.Clone(all), func(p Projection) bool { return p.Backend != backend })
}
