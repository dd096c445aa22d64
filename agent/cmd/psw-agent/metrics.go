package main

import (
	"context"
	"log/slog"
	"net"
	"sync"

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
	ctx, end := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { metrics.Serve(ctx, l, page, log) })
	log.Info("serving metrics", "address", l.Addr().String())
	return func() {
		end()
		serving.Wait()
	}, nil
}
