package estest_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(estest.Stopping(m))) }

func put(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Tests share a server; what has a test's prefix is removed at its end, and nothing else. A server of a test's own is
// another one.
func TestPrefix(t *testing.T) {
	t.Parallel()
	url, other := estest.URL(t), estest.Prefix(t)
	if put(t, url+"/"+other+"kept") != http.StatusOK {
		t.Fatal("an index was refused")
	}
	var index string
	t.Run("inner", func(t *testing.T) {
		index = url + "/" + estest.Prefix(t) + "a"
		if put(t, index) != http.StatusOK || put(t, index) != http.StatusBadRequest {
			t.Error("it is not there")
		}
	})
	if put(t, index) != http.StatusOK { // it is left there, in a server that is thrown away
		t.Error("it was not removed")
	}
	if put(t, url+"/"+other+"kept") != http.StatusBadRequest {
		t.Error("another test's was removed")
	}
	if s := estest.Start(t, esserver.Config{}); s.URL() == url || put(t, s.URL()+"/x") != http.StatusOK {
		t.Error("a server of the test's own does not work")
	}
}
