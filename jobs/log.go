package jobs

import (
	"context"
	"log/slog"
)

// grave passes on warnings and errors only. River reports its queues' counts every few seconds, which the jobs' own
// outputs and `outflow status` say better.
type grave struct{ slog.Handler }

// Enabled drops what is below a warning.
func (g grave) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && g.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the bound.
func (g grave) WithAttrs(attrs []slog.Attr) slog.Handler { return grave{g.Handler.WithAttrs(attrs)} }

// WithGroup keeps the bound.
func (g grave) WithGroup(name string) slog.Handler { return grave{g.Handler.WithGroup(name)} }
