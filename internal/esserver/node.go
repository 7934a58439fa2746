package esserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/outflow-db/outflow/internal/child"
)

const defaultHeap = "512m"

// quick are options of a Java machine that shall start soon rather than run fast.
const quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

// choices are the distribution's own choice of a collector, and what logs it.
var choices = regexp.MustCompile(`(?m)^(.*-XX:\+UseG1GC|-Xlog:gc.*)$`)

// setup finds what the node needs and makes its directory.
func (s *Server) setup(ctx context.Context) (err error) {
	if s.account, err = child.Lookup(accounts...); err != nil {
		return err
	}
	if s.java, err = java(ctx); err != nil {
		return err
	}
	if s.dist = s.cfg.Dist; s.dist == "" {
		if s.dist, err = Fetch(ctx); err != nil {
			return err
		}
	}
	ports, err := child.FreePorts(ctx, 2)
	if err != nil {
		return err
	}
	s.http, s.transport = ports[0], ports[1]
	if s.dir, err = s.account.Directory(s.cfg.Dir, "outflow-elasticsearch-"); err != nil {
		return err
	}
	return s.configure()
}

// configure writes the node's files, which belong to the account that it runs as.
func (s *Server) configure() error {
	for _, sub := range []string{"conf", "data", "logs", "tmp"} {
		dir := filepath.Join(s.dir, sub)
		if err := errors.Join(os.MkdirAll(dir, 0o700), s.account.Own(dir)); err != nil {
			return err
		}
	}
	for _, name := range []string{"jvm.options", "log4j2.properties"} {
		text, err := os.ReadFile(filepath.Join(s.dist, "config", name))
		if err != nil {
			return err
		}
		if err := s.write(name, choices.ReplaceAll(text, nil)); err != nil {
			return err
		}
	}
	return s.write("elasticsearch.yml", s.settings())
}

func (s *Server) write(name string, text []byte) error {
	path := filepath.Join(s.dir, "conf", name)
	return errors.Join(os.WriteFile(path, text, 0o600), s.account.Own(path))
}

// settings is the node's configuration.
func (s *Server) settings() []byte {
	all := map[string]string{
		"cluster.name": "outflow", "node.name": "node", "network.host": "127.0.0.1", "discovery.type": "single-node",
		"http.port": strconv.Itoa(s.http), "transport.port": strconv.Itoa(s.transport),
		"path.data": filepath.Join(s.dir, "data"), "path.logs": filepath.Join(s.dir, "logs"),
		"xpack.security.enabled": "false", "cluster.routing.allocation.disk.threshold_enabled": "false",
	}
	maps.Copy(all, s.cfg.Settings)
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s: %q\n", name, all[name])
	}
	return b.Bytes()
}

// run starts the server and waits until it answers. The launcher stays, and when it ends, the server does.
func (s *Server) run(ctx context.Context) error {
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()            // the server has its own
	cmd := exec.Command("bash", launcher(s.dist)) //nolint:noctx // it outlives ctx
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = s.account.Attributes(syscall.SIGKILL)
	cmd.Env = append(environment(), s.environment()...)
	if s.proc, err = child.Spawn(cmd); err != nil {
		s.proc = nil
		return err
	}
	if err := s.answers(ctx); err != nil {
		tail, bad := os.ReadFile(s.log())
		return errors.Join(fmt.Errorf("%w\n%s", err, tail[max(0, len(tail)-4000):]), bad, s.end(0, syscall.SIGKILL))
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(s.dir, "console.log") }

// environment is this process's, without what steers Java or Elasticsearch.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "ES_") || strings.HasPrefix(v, "JAVA_") || strings.HasPrefix(v, "CLI_")
	})
}

func (s *Server) environment() []string {
	heap := s.cfg.Heap
	if heap == "" {
		heap = defaultHeap
	}
	return []string{
		"CLI_NAME=server", "CLI_LIBS=lib/tools/server-cli", "CLI_JAVA_OPTS=" + quick,
		"ES_JAVA_HOME=" + s.java, "ES_JAVA_OPTS=-Xms" + heap + " -Xmx" + heap + " " + quick,
		"ES_PATH_CONF=" + filepath.Join(s.dir, "conf"), "ES_TMPDIR=" + filepath.Join(s.dir, "tmp"),
	}
}

// answers waits until the node serves, and fails when it ends before.
func (s *Server) answers(ctx context.Context) error {
	for {
		select {
		case <-s.proc.Done:
			return fmt.Errorf("it ended: %s", s.proc.Cmd.ProcessState)
		default:
		}
		if serves(ctx, s.URL()) {
			return nil
		}
		if err := child.Pause(ctx); err != nil {
			return err
		}
	}
}

// client keeps no connections, which would outlive the server.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// serves says whether a node has recovered what it had.
func serves(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_cluster/health?wait_for_status=yellow&timeout=1s", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close()) == nil && answer.StatusCode == http.StatusOK
}
