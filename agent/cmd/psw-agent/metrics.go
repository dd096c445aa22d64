package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/agent/metrics"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// serveMetrics answers Prometheus at address, if there is one, with pages as they are made.
// stop ends that.
func serveMetrics(address string, page func() []byte, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, ha.Errorf(ha.Unavailable, "cannot listen for Prometheus: %w", err)
	}
	server := &http.Server{Handler: metricsHandler(page), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served", "error", err)
		}
	})
	log.Info("serving metrics", "address", l.Addr().String())
	return func() {
		_ = server.Close()
		serving.Wait()
	}, nil
}

func metricsHandler(page func() []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		text := page()
		if text == nil {
			http.Error(w, "nothing has been looked at yet", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", metrics.ContentType)
		_, _ = w.Write(text) // whoever asked has gone: nobody is left to tell
	})
	return mux
}
