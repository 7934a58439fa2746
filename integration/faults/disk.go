package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/child"
)

// disk is a small file system that can be filled. Nil is the disk of the machine, which cannot.
type disk struct{ dir string }

// diskSize is as large as a database needs to be for hours.
const diskSize = "192m"

// newDisk mounts a file system, which takes root: without it there is none.
func (l *Lab) newDisk(name string) (*disk, error) {
	if os.Geteuid() != 0 || l.o.BigDisk {
		return nil, nil //nolint:nilnil // there is none
	}
	d := &disk{dir: filepath.Join(l.dir, "disk-"+name)}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(context.Background(), "mount", "-t", "tmpfs", "-o", "size="+diskSize, "tmpfs", d.dir).CombinedOutput()
	if err != nil {
		_ = out // a container may forbid it: then there is none
		return nil, os.Remove(d.dir)
	}
	return d, nil
}

// database makes the lab's database on the disk of a server.
func (d *disk) database(ctx context.Context, address string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if d == nil {
		_, err = conn.Exec(ctx, "create database "+databaseName)
		return err
	}
	account, err := child.Lookup("postgres", "nobody")
	if err != nil {
		return err
	}
	space := filepath.Join(d.dir, "space")
	if err := errors.Join(os.Mkdir(space, 0o700), account.Own(space)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "create tablespace small location '"+space+"'"); err != nil {
		return fmt.Errorf("making a tablespace: %w", err)
	}
	_, err = conn.Exec(ctx, "create database "+databaseName+" tablespace small")
	return err
}

// fill leaves no room on the disk until free is called.
func (d *disk) fill() (free func(context.Context) error, err error) {
	path := filepath.Join(d.dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	free = func(context.Context) error { return os.Remove(path) }
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return free, file.Close()
}

func (d *disk) close() error {
	if d == nil {
		return nil
	}
	if out, err := exec.CommandContext(context.Background(), "umount", "-l", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unmounting %s: %w: %s", d.dir, err, out)
	}
	return nil
}
