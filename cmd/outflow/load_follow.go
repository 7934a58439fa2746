package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// followPause is the time between two looks at a directory. A file that both find the same is whole.
const followPause = time.Second

// followed says which files of a directory are taken. Others are on their way, or none of ours.
var followed = regexp.MustCompile(`^[^.].*\.ndjson(\.gz|\.zst)?$`)

// fileState is what tells that a file has changed.
type fileState struct {
	size     int64
	modified time.Time
}

// arrivals knows the files of a directory from the looks before.
type arrivals struct {
	seen map[string]fileState // as the last look found it
	done map[string]fileState // as it was when it was loaded
}

// look takes in what a directory has now, in order, and answers what to load: what is not loaded as it is, and has
// been the same twice.
func (a *arrivals) look(names []string, now map[string]fileState) (ready []string) {
	for _, name := range names {
		s := now[name]
		if a.seen[name] == s && a.done[name] != s {
			ready = append(ready, name)
		}
	}
	for name := range a.done {
		if _, there := now[name]; !there {
			delete(a.done, name)
		}
	}
	a.seen = now
	return ready
}

// followLoad loads what comes into a directory until ctx ends, which is its good end.
func (a *app) followLoad(ctx context.Context, o loadOptions) error {
	if info, err := os.Stat(o.follow); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--follow %s: no such directory", o.follow)}
	}
	pool, l, err := a.openLoad(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	known := &arrivals{done: map[string]fileState{}}
	for ctx.Err() == nil {
		if err := l.followOnce(ctx, known); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
	if err := l.rejects.close(); err != nil {
		return err
	}
	return l.end()
}

// followOnce looks at the directory once. A file that cannot be read to its end is told, and tried again when it
// has changed; a database that fails ends it.
func (l *loading) followOnce(ctx context.Context, known *arrivals) error {
	names, now, err := arriving(l.o.follow)
	if err != nil {
		return err
	}
	for _, name := range known.look(names, now) {
		path := filepath.Join(l.o.follow, name)
		f, err := openInput(path)
		if err == nil {
			in := inputs{{path, f}}
			err = l.run(ctx, in)
			in.close()
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, and what was read is read again next time
		}
		if err != nil && (ofDatabase(err) || l.writing != nil) {
			return err
		}
		if err != nil {
			l.loaded.Refused++
			fmt.Fprintln(l.err, complaint(err))
		}
		known.done[name] = now[name]
	}
	return nil
}

// ofDatabase says whether PostgreSQL failed, not the input.
func ofDatabase(err error) bool {
	var refused *pgconn.PgError
	return unreachable(err) || errors.As(err, &refused) || pgconn.SafeToRetry(err)
}

// arriving is the files of a directory that are taken, in the order of their names.
func arriving(dir string) (names []string, all map[string]fileState, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	all = map[string]fileState{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !followed.MatchString(e.Name()) {
			continue // vanished meanwhile, or none of ours
		}
		names = append(names, e.Name())
		all[e.Name()] = fileState{info.Size(), info.ModTime()}
	}
	return names, all, nil
}
