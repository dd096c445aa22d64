package main

import (
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Without an address nothing listens; one that is taken is an error; after stop nobody
// answers.
func TestMetricsAreServedWhereAsked(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	stop, err := serveMetrics("", nil, log)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if _, err := serveMetrics(address, nil, log); ha.KindOf(err) != ha.Unavailable {
		t.Errorf("an address in use: %v", err)
	}
	l.Close()
	stop, err = serveMetrics(address, func() []byte { return []byte("x 1\n") }, log)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.Get("http://" + address + "/metrics"); err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%+v, %v", answer, err)
	}
	stop()
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("somebody listens after the end")
	}
}
