package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

var beside = flag.Bool("beside", false, "measure beside Debian's prometheus-node-exporter, for a minute: make bench-agent")

// besideRounds of a second each: enough for a CPU time that is counted in hundredths.
const besideRounds = 60

// TestBesideNodeExporter runs the agent and prometheus-node-exporter on this machine at the
// same time, both once a second, and prints what each takes of it. Two programs that do not
// do the same are compared with care: the exporter is what every administrator knows, and
// what nobody finds too heavy for a hypervisor.
func TestBesideNodeExporter(t *testing.T) {
	if !*beside {
		t.Skip("measured with -beside only")
	}
	agent, box, wire := startAgent(t)
	exporter, url := startExporter(t)
	for range 3 { // the first rounds read what changes seldom
		<-box.reports
		scrape(t, url)
	}
	agentCPU, exporterCPU, sent := cpuTime(t, agent.Process.Pid), cpuTime(t, exporter.Process.Pid), wire.bytes.Load()
	scraped, plain := 0, 0
	for range besideRounds {
		<-box.reports
		packed, full := scrape(t, url)
		scraped, plain = scraped+packed, plain+full
	}
	row := func(name string, pid int, cpu int64, bytes int) {
		own, shared := resident(t, pid)
		fmt.Printf("%-26s %8.1f MiB %8.1f MiB %9.1f ms %9d B\n", name, own+shared, own, float64(cpu)/besideRounds, bytes)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%-26s %12s %12s %12s %11s\n", "", "resident", "its own", "CPU a round", "a round")
	row("psw-agent", agent.Process.Pid, cpuTime(t, agent.Process.Pid)-agentCPU, int(wire.bytes.Load()-sent)/besideRounds)
	row("prometheus-node-exporter", exporter.Process.Pid, cpuTime(t, exporter.Process.Pid)-exporterCPU, scraped/besideRounds)
	fmt.Printf("the exporter's answers are compressed; %d B unpacked. load average: %s", plain/besideRounds, load)
}

// startExporter runs Debian's exporter with its own settings on a free port of the loopback.
func startExporter(t *testing.T) (*exec.Cmd, string) {
	program, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		t.Skip("apt install prometheus-node-exporter")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(program, "--web.listen-address="+address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return cmd, "http://" + address + "/metrics"
}

// scrape asks as Prometheus does, and returns the size of the answer as sent and unpacked.
func scrape(t *testing.T, url string) (packed, full int) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("the answer is not compressed: %v", err)
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		t.Fatal(err)
	}
	return len(body), int(n)
}
