package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Before the first round there is nothing to tell, and that is said; nothing but the page
// is served; without an address nothing listens, and one in use is an error.
func TestMetricsAreServed(t *testing.T) {
	var page []byte
	server := httptest.NewServer(metricsHandler(func() []byte { return page }))
	defer server.Close()
	ask := func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	if code, _ := ask("/metrics"); code != http.StatusServiceUnavailable {
		t.Errorf("before the first round the answer is %d", code)
	}
	page = []byte("psw_ha_pmxcfs_writable 1\n")
	if code, text := ask("/metrics"); code != http.StatusOK || text != string(page) {
		t.Errorf("the answer is %d %q", code, text)
	}
	if code, _ := ask("/"); code != http.StatusNotFound {
		t.Errorf("something else is answered with %d", code)
	}

	log := slog.New(slog.DiscardHandler)
	stop, err := serveMetrics("", nil, log)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	taken := strings.TrimPrefix(server.URL, "http://")
	if _, err := serveMetrics(taken, nil, log); ha.KindOf(err) != ha.Unavailable {
		t.Errorf("an address in use: %v", err)
	}
}
