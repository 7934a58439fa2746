package child

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// Account is the user that a server runs as. Nil stands for that of this process.
type Account struct {
	Name     string
	uid, gid int
}

// Lookup is the first of the users called names that exists. It is nil unless this process runs as root.
func Lookup(names ...string) (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no account is needed
	}
	var failures error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			failures = errors.Join(failures, err)
			continue
		}
		uid, bad := strconv.Atoi(u.Uid)
		gid, worse := strconv.Atoi(u.Gid)
		return &Account{Name: u.Username, uid: uid, gid: gid}, errors.Join(bad, worse)
	}
	return nil, fmt.Errorf("root may not run the server, and there is no other user to do so: %w", failures)
}

// Own hands a file or directory to the account.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// reachable fails unless every user may pass through dir and all that are above it.
func reachable(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is closed to other users", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// Directory makes a directory that only the account may use, with what is missing above it, and returns
// its absolute path. An empty dir asks for a temporary one, whose name begins with prefix. It fails if the
// account could not reach it.
func (a *Account) Directory(dir, prefix string) (path string, err error) {
	if dir == "" {
		dir, err = os.MkdirTemp("", prefix)
	} else {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dir, err
	}
	if a == nil {
		return dir, nil
	}
	if err := reachable(filepath.Dir(dir)); err != nil {
		return dir, fmt.Errorf("root may not run the server, and user %s cannot use %s: %w", a.Name, dir, err)
	}
	return dir, a.Own(dir)
}

// Cache is a directory for what was fetched, called name, which the account can read: in the user's cache
// directory, or in /var/cache if that one is closed to the account.
func (a *Account) Cache(name string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "outflow", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if a == nil || reachable(dir) == nil {
		return dir, nil
	}
	dir = filepath.Join("/var/cache", "outflow", name)
	return dir, os.MkdirAll(dir, 0o755)
}
