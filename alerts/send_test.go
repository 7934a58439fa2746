package alerts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// notices are a message's worth.
func notices() []Notice {
	over := noon.Add(time.Hour)
	return []Notice{
		{StatusFiring, Alert{ID: "lag-high/a", Rule: LagHigh, Backend: "a", Severity: Warning, Summary: "a is <far> behind", Since: noon}},
		{StatusResolved, Alert{ID: "watch-drift//k", Rule: WatchDrift, Kind: "k", Severity: Critical, Summary: "misses", Since: noon, Resolved: &over}},
	}
}

// A message has the documented form, in both formats.
func TestMessage(t *testing.T) {
	t.Parallel()
	m := NewMessage("1-2-3", "app", noon, Settings{Runbook: "https://r"}, notices())
	const wantJSON = `{"version":1,"id":"1-2-3","at":"2026-01-01T12:00:00Z","database":"app","alerts":[` +
		`{"id":"lag-high/a","status":"firing","severity":"warning","rule":"lag-high","backend":"a","summary":"a is \u003cfar\u003e behind",` +
		`"advice":"outflow health says whether the store is slow; more lanes write side by side: outflow lanes split","runbook":"https://r#lag-high","since":"2026-01-01T12:00:00Z"},` +
		`{"id":"watch-drift//k","status":"resolved","severity":"critical","rule":"watch-drift","kind":"k","summary":"misses",` +
		`"advice":"outflow doctor says which statement mends it; then verify with repair what was written meanwhile","runbook":"https://r#watch-drift","since":"2026-01-01T12:00:00Z","resolved_at":"2026-01-01T13:00:00Z"}]}`
	const wantSlack = `:red_circle: *firing* a is &lt;far&gt; behind (warning, database app)
outflow health says whether the store is slow; more lanes write side by side: outflow lanes split. <https://r#lag-high|Runbook>

:large_green_circle: *resolved* misses (critical, database app)
`
	body, err := m.body("json")
	if d := cmp.Diff(wantJSON, string(body)); d != "" || err != nil {
		t.Error(d, err)
	}
	var slack map[string]string
	body, err = m.body("slack")
	if err != nil || json.Unmarshal(body, &slack) != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"text": wantSlack}, slack); d != "" {
		t.Error(d)
	}
	many := make([]Notice, 53)
	if m := NewMessage("x", "app", noon, Settings{}, many); len(m.Alerts) != 50 || m.More != 3 || !strings.Contains(m.text(), "and 3 more") {
		t.Errorf("%d alerts, %d more", len(m.Alerts), m.More)
	}
	if m := Trial("x", "app", noon, Settings{}); !m.Test || len(m.Alerts) != 1 || m.Version != MessageVersion {
		t.Errorf("%+v", m)
	}
}

// A delivery carries the configured headers, the message's id, and a signature that its receiver can compute. An answer
// but 2xx is an error; redirects are not followed; no error tells the address or what goes with it.
func TestSend(t *testing.T) {
	t.Parallel()
	status := make(chan int, 10)
	seen := make(chan *http.Request, 10)
	bodies := make(chan []byte, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- r
		bodies <- body
		w.Header().Set("Location", "/elsewhere")
		select {
		case code := <-status:
			w.WriteHeader(code)
		default: // of somebody who follows
		}
	}))
	defer server.Close()
	hook := Webhook{Name: "ops", URL: server.URL + "/geheim", Headers: map[string]string{"X-Team": "geheim"}, Format: "json", Secret: "key"}
	m := Trial("id-1", "app", noon, Settings{})
	sender := NewSender()
	status <- 204
	if err := sender.Send(t.Context(), hook, m); err != nil {
		t.Fatal(err)
	}
	r, body := <-seen, <-bodies
	parts := regexp.MustCompile(`^t=(\d+),v1=([0-9a-f]{64})$`).FindStringSubmatch(r.Header.Get(HeaderSignature))
	if parts == nil || r.Header.Get("X-Team") != "geheim" || r.Header.Get(HeaderID) != "id-1" || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
		t.Fatalf("%v", r.Header)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	fmt.Fprintf(mac, "%s.%s", parts[1], body)
	if hex.EncodeToString(mac.Sum(nil)) != parts[2] {
		t.Error("the signature is not that of the body")
	}
	for _, code := range []int{302, 400, 429, 500} {
		status <- code
		err := sender.Send(t.Context(), hook, m)
		if err == nil || err.Error() != fmt.Sprintf("sending to webhook ops: it answered %d", code) {
			t.Errorf("%d: %v", code, err)
		}
		<-bodies
		if r := <-seen; r.URL.Path != "/geheim" {
			t.Errorf("went to %s", r.URL.Path)
		}
	}
	server.Close()
	for _, address := range []string{hook.URL, "http://\x00geheim"} {
		hook.URL = address
		if err := sender.Send(t.Context(), hook, m); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v", err)
		}
	}
	hook.Secret = ""
	for _, text := range []string{fmt.Sprint(hook), fmt.Sprintf("%#v", hook), hook.LogValue().String()} {
		if strings.Contains(text, "geheim") {
			t.Errorf("a webhook prints its secrets: %s", text)
		}
	}
}
