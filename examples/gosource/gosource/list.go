package gosource

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// directory is a directory with Go files, its path relative to the root, with slashes.
type directory struct {
	path  string
	names []string // the files that are wanted, sorted
}

// list finds the directories with Go files, in the order in which their files are yielded.
func list(root string, most int) ([]directory, error) {
	var dirs []directory
	left := most
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name != root && hidden(d.Name()) {
			return fs.SkipDir
		}
		names, err := goFiles(name)
		if most > 0 {
			names = names[:min(left, len(names))]
			left -= len(names)
		}
		if len(names) > 0 {
			dirs = append(dirs, directory{relative(root, name), names})
		}
		if most > 0 && left == 0 && err == nil {
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing Go files: %w", err)
	}
	return dirs, nil
}

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }

// goFiles lists the Go files of a directory, sorted.
func goFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".go") && !hidden(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func relative(root, name string) string {
	rel, err := filepath.Rel(root, name)
	if err != nil { // WalkDir's names begin with the root
		return filepath.ToSlash(name)
	}
	return filepath.ToSlash(rel)
}

// modulePath is the module of the root's go.mod, "" if there is none. The standard library's is "std",
// which its import paths do not have.
func modulePath(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return ""
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "module "); ok && strings.TrimSpace(name) != "std" {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return ""
}

// importPath is the import path of a directory.
func (x *extractor) importPath(dir string) string {
	if _, vendored, ok := strings.Cut("/"+dir, "/vendor/"); ok {
		return vendored
	}
	if p := path.Join(x.module, dir); p != "." {
		return p
	}
	return filepath.Base(x.options.Repository)
}

// find is the directory of an import path, as seen from a directory: vendored above it, or below the root.
func (x *extractor) find(from, imported string) (string, bool) {
	for up := from; ; up = path.Dir(up) {
		if dir := path.Join(up, "vendor", imported); x.isPackage(dir) {
			return dir, true
		}
		if up == "." {
			break
		}
	}
	dir, ok := imported, true
	if x.module != "" {
		dir, ok = strings.CutPrefix(imported+"/", x.module+"/")
	}
	dir = path.Clean(dir)
	return dir, ok && x.isPackage(dir)
}
