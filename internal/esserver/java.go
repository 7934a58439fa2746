package esserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

const javaLeast = 17

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// java is the home of a Java that can run the server: what JAVA_HOME names, or else that of the java on PATH.
func java(ctx context.Context) (string, error) {
	home := os.Getenv("JAVA_HOME")
	if home == "" {
		path, err := exec.LookPath("java")
		if err != nil {
			return "", fmt.Errorf("install Java %d or newer: %w", javaLeast, err)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", err
		}
		home = filepath.Dir(filepath.Dir(path))
	}
	out, err := exec.CommandContext(ctx, filepath.Join(home, "bin", "java"), "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking Java for its version: %w", err)
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("asking Java for its version: got %q", out)
	}
	if v, err := strconv.Atoi(string(m[1])); err != nil || v < javaLeast {
		return "", errors.Join(fmt.Errorf("too old is Java %s in %s: install %d or newer", m[1], home, javaLeast), err)
	}
	return home, nil
}
