package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/alerts"
)

// alerts reads what operators are told, and where. Single values have variables of the environment.
func (r *reader) alerts(a *alerts.Settings) map[string]field {
	fields := r.override("alerts", map[string]field{
		"clear":       r.duration(&a.Clear, time.Second, "1m"),
		"group":       r.duration(&a.Group, time.Second, "30s"),
		"remind":      r.duration(&a.Remind, time.Minute, "4h"),
		"runbook":     r.text(&a.Runbook, "the URL of a runbook"),
		"failing":     r.duration(&a.Failing, time.Second, "1m"),
		"degraded":    r.duration(&a.Degraded, time.Second, "15m"),
		"lag":         r.duration(&a.Lag, time.Second, "5m"),
		"parked":      r.count(&a.Parked, 1_000_000_000),
		"refusals":    r.count(&a.Refusals, 1_000_000),
		"absent":      r.duration(&a.Absent, time.Second, "1m"),
		"log_bytes":   r.size(&a.LogBytes, 64<<10, "10GiB"),
		"disk_bytes":  r.size(&a.DiskBytes, 64<<10, "500GiB"),
		"transaction": r.duration(&a.Transaction, time.Second, "30m"),
		"horizon":     r.duration(&a.Horizon, time.Minute, "4h"),
	})
	fields["off"] = func(n *yaml.Node, path string) { r.list(n, path, r.off(a)) }
	fields["webhooks"] = func(n *yaml.Node, path string) { r.list(n, path, r.webhook(a)) }
	return fields
}

// off reads the name of a rule.
func (r *reader) off(a *alerts.Settings) field {
	return func(n *yaml.Node, path string) {
		var name string
		r.text(&name, "a rule such as "+alerts.LagHigh)(n, path)
		if name != "" && r.known(n, path, "rule", name, alerts.RuleNames()) {
			a.Off = append(a.Off, name)
		}
	}
}

// webhook reads where messages go. Problems quote neither the address nor what goes with it: they are secrets.
func (r *reader) webhook(a *alerts.Settings) field {
	return func(n *yaml.Node, path string) {
		w := alerts.Webhook{Name: fmt.Sprintf("webhook-%d", len(a.Webhooks)+1)}
		r.mapping(n, path, map[string]field{
			"name":    r.text(&w.Name, "a name"),
			"url":     r.address(&w.URL),
			"headers": r.headers(&w.Headers),
			"format":  r.choice(&w.Format, alerts.Formats...),
			"secret":  r.hiddenText(&w.Secret, "a secret that signs the messages"),
		})
		if n.Kind == yaml.MappingNode && !has(n, "url") {
			r.fail(n, path, "url is missing")
		}
		for _, other := range a.Webhooks {
			if other.Name == w.Name {
				r.fail(n, path, "another webhook is named %s already", short(w.Name))
			}
		}
		a.Webhooks = append(a.Webhooks, w)
	}
}

func (r *reader) address(to *string) field {
	const want = "an address that begins with http:// or https://"
	read := r.hiddenText(to, want)
	return func(n *yaml.Node, path string) {
		read(n, path)
		if *to != "" && !alerts.Addressed(*to) {
			r.fail(n, path, "want %s, have another text", want)
		}
	}
}

func (r *reader) headers(to *map[string]string) field {
	return func(n *yaml.Node, path string) {
		*to = map[string]string{}
		r.pairs(n, path, func(key, value *yaml.Node) {
			var text string
			r.hiddenText(&text, "the value of a header")(value, join(path, short(key.Value)))
			(*to)[key.Value] = text
		})
	}
}

// hiddenText is text whose problems do not quote it.
func (r *reader) hiddenText(to *string, want string) field {
	return func(n *yaml.Node, path string) {
		text, _, ok := r.scalar(n, path, want)
		if ok && text == "" {
			r.fail(n, path, "want %s, have nothing", want)
		}
		*to = text
	}
}

func alertsSchema() object {
	return mapping("What operators are told, and where. What is left out has its default.", object{
		"clear":       timeSpan("How long a condition must not hold until it is over. Default: 1m."),
		"group":       timeSpan("How long a message waits for others. Default: 30s."),
		"remind":      timeSpan("After which what still holds is told again. Default: 4h."),
		"runbook":     some("The URL of the runbook. Default: the project's."),
		"failing":     timeSpan("A backend fails or is down for so long. Default: 1m."),
		"degraded":    timeSpan("A backend is degraded for so long. Default: 15m."),
		"lag":         timeSpan("A backend is further behind. Default: 5m."),
		"parked":      wholeNumber("So many records of a backend are parked. Default: 1.", 1_000_000_000),
		"refusals":    wholeNumber("So many requests within a minute fail for what an operator must mend, or ask for less. Default: 10.", 1_000_000),
		"absent":      timeSpan("Lanes are behind and nobody holds them for so long. Default: 1m."),
		"log_bytes":   byteCount("The log is larger. Default: 10GiB."),
		"disk_bytes":  byteCount("The database must not get larger: for predictions. Default: no bound."),
		"transaction": timeSpan("A transaction is older. Default: 30m."),
		"horizon":     timeSpan("Predictions look so far ahead. Default: 4h."),
		"off":         object{"description": "Rules that are not looked at.", "type": []string{"array", "null"}, "items": or("A rule.", object{"enum": alerts.RuleNames()})},
		"webhooks": object{"description": "Where messages go.", "type": []string{"array", "null"}, "items": mapping("A webhook.", object{
			"name":    some("Its name, in jobs and logs. Default: webhook- and its number."),
			"url":     or("Its address; may be a secret.", object{"type": "string", "pattern": "^https?://."}),
			"headers": object{"description": "Headers that go along.", "type": []string{"object", "null"}, "additionalProperties": object{"type": []string{"string", "number", "boolean"}, "pattern": "."}},
			"format":  oneOf("The form of a message. Default: json.", alerts.Formats...),
			"secret":  object{"description": "Signs the messages.", "type": []string{"string", "number"}, "pattern": "."},
		}, "url")},
	})
}
