package alerts

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Settings say what is told, and where. Zero values mean the defaults.
type Settings struct {
	Webhooks []Webhook     // default: none; alerts are then in the database, the log and the metrics only
	Off      []string      // rules that are not looked at
	Every    time.Duration // how often it is looked; default 15s
	Sample   time.Duration // how often samples are taken for predictions; default 1m
	Clear    time.Duration // how long a condition must not hold until it is over; default 1m
	Group    time.Duration // how long a message waits for others; default 30s
	Remind   time.Duration // after which an alert that still fires is told again; default 4h
	Runbook  string        // where the runbook is; default: that of the project

	Failing     time.Duration // a backend fails or is down for so long; default 1m
	Degraded    time.Duration // a backend is degraded for so long; default 15m
	Lag         time.Duration // a backend is further behind; default 5m
	Parked      int           // so many records of a backend are parked; default 1
	Refusals    int           // so many requests within a minute fail for what an operator must mend, or ask for less; default 10
	Absent      time.Duration // lanes are behind and nobody holds them for so long; default 1m
	LogBytes    int           // the log is larger; default 10 GiB
	DiskBytes   int           // the database must not get larger: used for predictions only; default: no bound
	Transaction time.Duration // a transaction is older; default 30m
	Horizon     time.Duration // predictions look so far ahead; default 4h
}

// Webhook is where messages go. It holds secrets; what it prints and logs of itself leaves them out.
type Webhook struct {
	Name    string            // unique; goes into the jobs that deliver
	URL     string            // of http or https
	Headers map[string]string // sent along
	Format  string            // json or slack; default json
	Secret  string            // signs the message; empty: it is not signed
}

// String is the webhook's name: its address may be a secret.
func (w Webhook) String() string { return "webhook " + w.Name }

// GoString is String, so that %#v does not show secrets either.
func (w Webhook) GoString() string { return w.String() }

// LogValue is String.
func (w Webhook) LogValue() slog.Value { return slog.StringValue(w.String()) }

// DefaultRunbook is the project's runbook.
const DefaultRunbook = "https://github.com/outflow-db/outflow/blob/main/docs/runbook.md"

// WithDefaults fills in what is zero.
func (s Settings) WithDefaults() Settings {
	s.Every, s.Sample = cmp.Or(s.Every, 15*time.Second), cmp.Or(s.Sample, time.Minute)
	s.Clear, s.Group, s.Remind = cmp.Or(s.Clear, time.Minute), cmp.Or(s.Group, 30*time.Second), cmp.Or(s.Remind, 4*time.Hour)
	s.Runbook = cmp.Or(s.Runbook, DefaultRunbook)
	s.Failing, s.Degraded, s.Lag = cmp.Or(s.Failing, time.Minute), cmp.Or(s.Degraded, 15*time.Minute), cmp.Or(s.Lag, 5*time.Minute)
	s.Parked, s.Refusals, s.Absent = cmp.Or(s.Parked, 1), cmp.Or(s.Refusals, 10), cmp.Or(s.Absent, time.Minute)
	s.LogBytes, s.Transaction, s.Horizon = cmp.Or(s.LogBytes, 10<<30), cmp.Or(s.Transaction, 30*time.Minute), cmp.Or(s.Horizon, 4*time.Hour)
	s.Webhooks = slices.Clone(s.Webhooks)
	for i := range s.Webhooks {
		w := &s.Webhooks[i]
		w.Name, w.Format = cmp.Or(w.Name, fmt.Sprintf("webhook-%d", i+1)), cmp.Or(w.Format, "json")
	}
	return s
}

// Formats are the forms of a message.
var Formats = []string{"json", "slack"}

// Problems lists what is wrong. The settings must have their defaults. No problem tells an address or a secret.
func (s Settings) Problems() []error {
	var errs []error
	names := map[string]bool{}
	for i, w := range s.Webhooks {
		if names[w.Name] {
			errs = append(errs, fmt.Errorf("alerts: %s is there twice", w))
		}
		names[w.Name] = true
		if !Addressed(w.URL) {
			errs = append(errs, fmt.Errorf("alerts: the url of webhook %d is none of http or https", i+1))
		}
		if !slices.Contains(Formats, w.Format) {
			errs = append(errs, fmt.Errorf("alerts: the format of webhook %d is none of %s", i+1, strings.Join(Formats, ", ")))
		}
	}
	for _, name := range s.Off {
		if !slices.Contains(RuleNames(), name) {
			errs = append(errs, fmt.Errorf("alerts: no rule is named %q", name))
		}
	}
	return errs
}

// Addressed says whether a text is the address of a webhook.
func Addressed(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Webhook is the one with the name.
func (s Settings) Webhook(name string) (Webhook, bool) {
	i := slices.IndexFunc(s.Webhooks, func(w Webhook) bool { return w.Name == name })
	if i < 0 {
		return Webhook{}, false
	}
	return s.Webhooks[i], true
}

func (s Settings) off(rule string) bool { return slices.Contains(s.Off, rule) }
