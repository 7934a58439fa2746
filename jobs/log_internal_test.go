package jobs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// Only warnings and errors of River reach the log, also through loggers that it derives.
func TestGrave(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(grave{slog.NewTextHandler(&out, nil)})
	for _, l := range []*slog.Logger{log, log.With("a", 1), log.WithGroup("g")} {
		l.Info("chatter")
		l.Warn("trouble", "b", 2)
	}
	if got := out.String(); strings.Contains(got, "chatter") || strings.Count(got, "trouble") != 3 || !strings.Contains(got, "a=1") || !strings.Contains(got, "g.b=2") {
		t.Errorf("logged:\n%s", got)
	}
}
