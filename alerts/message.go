package alerts

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MessageVersion is that of the form of messages. It changes when a field gets another meaning or goes; new fields do
// not change it.
const MessageVersion = 1

// Message is what a webhook of format json gets.
type Message struct {
	Version  int         `json:"version"`
	ID       string      `json:"id"`       // the same when it is delivered again
	At       time.Time   `json:"at"`       // when it was made
	Database string      `json:"database"` // the name of the PostgreSQL database
	Test     bool        `json:"test,omitempty"`
	Alerts   []AlertNote `json:"alerts"`
	More     int         `json:"more,omitempty"` // alerts that are left out, because they are too many
}

// AlertNote is one alert of a message.
type AlertNote struct {
	ID         string     `json:"id"`     // the same for every message about it
	Status     string     `json:"status"` // firing, still firing, or resolved
	Severity   Severity   `json:"severity"`
	Rule       string     `json:"rule"`
	Backend    string     `json:"backend,omitempty"`
	Kind       string     `json:"kind,omitempty"`
	Summary    string     `json:"summary"`
	Advice     string     `json:"advice"`
	Runbook    string     `json:"runbook"`
	Since      time.Time  `json:"since"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty"`
}

// most alerts of one message.
const most = 50

// NewMessage makes a message of notices.
func NewMessage(id, database string, at time.Time, s Settings, notices []Notice) Message {
	m := Message{Version: MessageVersion, ID: id, At: at.UTC(), Database: database, More: max(0, len(notices)-most)}
	for _, n := range notices[:min(len(notices), most)] {
		rule, _ := ruleOf(n.Alert.Rule)
		m.Alerts = append(m.Alerts, AlertNote{
			ID: n.Alert.ID, Status: n.Status, Severity: n.Alert.Severity, Rule: n.Alert.Rule, Backend: n.Alert.Backend, Kind: n.Alert.Kind,
			Summary: n.Alert.Summary, Advice: rule.Advice, Runbook: s.RunbookOf(n.Alert.Rule), Since: n.Alert.Since.UTC(), ResolvedAt: n.Alert.Resolved,
		})
	}
	return m
}

// Trial is one that says that messages arrive.
func Trial(id, database string, at time.Time, s Settings) Message {
	return Message{Version: MessageVersion, ID: id, At: at.UTC(), Database: database, Test: true, Alerts: []AlertNote{{
		ID: "test", Status: StatusFiring, Severity: Warning, Rule: "test", Summary: "this is a test: nothing is wrong",
		Advice: "nothing to do", Runbook: s.Runbook, Since: at.UTC(),
	}}}
}

// RunbookOf is the entry of the runbook for a rule.
func (s Settings) RunbookOf(rule string) string { return s.Runbook + "#" + rule }

// body is a message in the form that a webhook wants.
func (m Message) body(format string) ([]byte, error) {
	if format != "slack" {
		return json.Marshal(m)
	}
	return json.Marshal(map[string]string{"text": m.text()})
}

// escape makes text of it in Slack's form.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// text is a message for people, in Slack's form.
func (m Message) text() string {
	var b strings.Builder
	for i, a := range m.Alerts {
		if i > 0 {
			b.WriteString("\n")
		}
		mark := map[string]string{StatusFiring: ":red_circle:", StatusReminder: ":repeat:", StatusResolved: ":large_green_circle:"}[a.Status]
		fmt.Fprintf(&b, "%s *%s* %s (%s, database %s)\n", mark, escape.Replace(a.Status), escape.Replace(a.Summary), a.Severity, escape.Replace(m.Database))
		if a.Status != StatusResolved {
			fmt.Fprintf(&b, "%s. <%s|Runbook>\n", escape.Replace(a.Advice), a.Runbook)
		}
	}
	if m.More > 0 {
		fmt.Fprintf(&b, "\nand %d more: outflow alerts list\n", m.More)
	}
	return b.String()
}
