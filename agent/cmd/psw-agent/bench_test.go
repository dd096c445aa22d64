package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// mailbox is a coordinator that only takes reports.
type mailbox struct {
	rpc.Backend
	reports chan ha.Report
}

func (m *mailbox) Hello(context.Context, ha.Hello) (ha.Welcome, error) {
	return ha.Welcome{Coordinator: "bench", Generation: 1, Interval: 1}, nil // the shortest the agent allows
}

func (m *mailbox) Report(_ context.Context, r ha.Report) error {
	m.reports <- r
	return nil
}

func (m *mailbox) Orders(context.Context, ha.NodeName) (<-chan ha.Order, error) { return nil, nil }

func (m *mailbox) OrderDone(context.Context, ha.OrderResult) error { return nil }

// meter counts what arrives on the connections of a listener.
type meter struct {
	net.Listener
	bytes atomic.Int64
}

func (m *meter) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	return metered{c, m}, err
}

type metered struct {
	net.Conn
	meter *meter
}

func (c metered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.meter.bytes.Add(int64(n))
	return n, err
}

// BenchmarkAgent runs the real program on this machine, with real sockets, TLS and gossip, and
// says what it takes of it: CPU per round, memory that is resident, bytes on the wire. An
// iteration is a round of one second, so run it with -benchtime 30x or so.
func BenchmarkAgent(b *testing.B) {
	agent, box, wire := startAgent(b)
	for range 3 { // the first rounds read what changes seldom
		<-box.reports
	}
	cpu, sent := cpuTime(b, agent.Process.Pid), wire.bytes.Load()
	rounds := 0
	for b.Loop() {
		<-box.reports
		rounds++
	}
	b.ReportMetric(float64(cpuTime(b, agent.Process.Pid)-cpu)/float64(rounds), "cpu-ms/round")
	b.ReportMetric(float64(wire.bytes.Load()-sent)/float64(rounds), "B/report")
	own, shared := resident(b, agent.Process.Pid)
	b.ReportMetric(own, "MiB-own")
	b.ReportMetric(own+shared, "MiB-resident")
}

// startAgent builds the program as it is shipped and runs it against a coordinator and a
// gossip of our own, until the test ends.
func startAgent(b testing.TB) (*exec.Cmd, *mailbox, *meter) {
	dir := b.TempDir()
	program := filepath.Join(dir, "psw-agent")
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", program, ".") // as make build does
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	box := &mailbox{reports: make(chan ha.Report, 1)}
	wire := serve(b, box, dir)
	keyFile, peer := gossiping(b, wire.Addr().String())
	var log bytes.Buffer
	agent := exec.Command(program, "run", "--config", filepath.Join(dir, "none"), "--node", "node1", "--tls", dir,
		"--state", filepath.Join(dir, "state"), "--interval", "1s",
		"--gossip-bind", "127.0.0.1:0", "--gossip-key-file", keyFile, "--gossip-peers", peer)
	if err := os.WriteFile(filepath.Join(dir, "none"), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = agent.Process.Signal(syscall.SIGTERM)
		if err := agent.Wait(); err != nil {
			b.Errorf("the agent did not stop well: %v\n%s", err, &log)
		}
	})
	return agent, box, wire
}

// gossiping is a coordinator's part in gossip; it returns the key and where it listens.
func gossiping(b testing.TB, address string) (keyFile, peer string) {
	key, err := gossip.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	keyFile = filepath.Join(b.TempDir(), "gossip.key")
	if err := key.Save(keyFile); err != nil {
		b.Fatal(err)
	}
	g, err := gossip.Join(b.Context(), gossip.Config{Name: "core", Role: gossip.RoleCoordinator, Bind: "127.0.0.1:0",
		Key: key, RPCAddress: address, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = g.Leave(time.Second) })
	return keyFile, g.Members()[0].Address
}

// serve runs a coordinator on the loopback and issues the agent's files into dir.
func serve(b testing.TB, box *mailbox, dir string) *meter {
	ca, err := rpc.NewCA("bench")
	if err != nil {
		b.Fatal(err)
	}
	own := b.TempDir()
	for role, where := range map[rpc.Role]string{rpc.RoleAgent: dir, rpc.RoleCoordinator: own} {
		c, err := ca.Issue(role, "node1")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Save(where); err != nil {
			b.Fatal(err)
		}
	}
	tls, err := rpc.ServerTLS(rpc.FilesIn(own, rpc.RoleCoordinator))
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	wire := &meter{Listener: l}
	s := rpc.NewServer(box, tls, slog.New(slog.DiscardHandler))
	go func() { _ = s.Serve(wire) }()
	b.Cleanup(s.Stop)
	return wire
}

// cpuTime is what a process and the children it has waited for took, in milliseconds.
func cpuTime(b testing.TB, pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The name, in parentheses, may hold blanks. After it utime is the 12th field, then
	// stime, cutime and cstime, in hundredths of a second.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
	var total int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += n
	}
	return total * 10
}

// resident is the memory of a process that is in RAM, in MiB: its own, and what it shares
// with the page cache (the program's code).
func resident(b testing.TB, pid int) (own, shared float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	mib := func(name string) float64 {
		_, rest, _ := strings.Cut(string(data), name+":")
		var kib float64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			b.Fatal(err)
		}
		return kib / 1024
	}
	return mib("RssAnon"), mib("RssFile") + mib("RssShmem")
}
