package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

const secret = "5a8d2f0e-9c41-4b7e-a3d6-1f0b7c2e4d90"

// typed runs one command line and returns what was said.
func typed(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := app{env: env, stdout: &out, stderr: &errs, hostname: func() (string, error) { return "core.example.org", nil }}
	code = a.main(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"", exitDone, "Exit codes: 0 done, 1 failed"},
		{"version", exitDone, "psw-coordinator "},
		{"serv", exitUsage, `there is no command "serv"`},
		{"serve now", exitUsage, "usage: psw-coordinator serve"},
		{"serve --nope", exitUsage, "unknown flag: --nope (see psw-coordinator serve --help)"},
		{"serve --config /nonexistent", exitUsage, "/nonexistent"},
		{"serve --pve-token-secret x", exitUsage, "unknown flag"}, // a command line is read by everybody
		{"backup", exitUsage, "usage: psw-coordinator backup FILE"},
		{"ca issue agent", exitUsage, "usage: psw-coordinator ca issue ROLE NAME"},
	} {
		code, stdout, stderr := typed(t, nil, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.says) {
			t.Errorf("psw-coordinator %s: exit %d, want %d\n%s%s", tt.args, code, tt.code, stdout, stderr)
		}
	}
}

// keys makes a CA, the coordinator's certificate, an operator's and an agent's, and a gossip
// key, by the commands an administrator types.
func keys(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"ca", "init", at("ca")},
		{"ca", "issue", "coordinator", "core", "--ca", at("ca"), "--out", at("tls"), "--host", "core.example.org", "--host", "127.0.0.1"},
		{"ca", "issue", "operator", "anna", "--ca", at("ca"), "--out", at("tls")},
		{"ca", "issue", "agent", "node1", "--ca", at("ca"), "--out", at("tls")},
		{"gossip-key", at("gossip.key")},
	} {
		if code, _, stderr := typed(t, nil, args...); code != exitDone {
			t.Fatalf("%q: exit %d: %s", args, code, stderr)
		}
	}
	if err := os.WriteFile(at("token"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestKeysAreReadableByTheirOwnerOnlyAndNeverReplacedByAccident(t *testing.T) {
	dir := keys(t)
	for _, name := range []string{"ca/ca.key", "tls/coordinator.key", "tls/operator.key", "tls/agent.key", "gossip.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"ca", "init", filepath.Join(dir, "ca")}, exitRefused, "is there already"},
		{[]string{"gossip-key", filepath.Join(dir, "gossip.key")}, exitRefused, "exists"},
		{[]string{"ca", "issue", "king", "anna", "--ca", filepath.Join(dir, "ca")}, exitUsage, "there are agent, coordinator and operator"},
		{[]string{"ca", "issue", "operator", "a/b", "--ca", filepath.Join(dir, "ca")}, exitUsage, "without a slash"},
		{[]string{"ca", "issue", "operator", "anna", "--ca", filepath.Join(dir, "none")}, exitUsage, "psw-coordinator ca init"},
	} {
		if code, _, stderr := typed(t, nil, tt.args...); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%q: exit %d, want %d with %q:\n%s", tt.args, code, tt.code, tt.says, stderr)
		}
	}
}

func TestCheckConfigNamesEveryFaultAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "coordinator.env")
	text := strings.Join([]string{
		"PSW_HA_PVE_ENDPOINTS=http://node1", "PSW_HA_STATE=state.db", "PSW_HA_LISTEN=7443", "PSW_HA_INTERVAL=2h", "PSW_HA_ADVERTISE=:7443",
		"PSW_HA_TLS_DIR=" + dir, "PSW_HA_GOSSIP_PEERS=node1:7444", "PSW_HA_PVE_TOKEN_FILE=" + filepath.Join(dir, "token"),
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := typed(t, nil, "check-config", "--config", file)
	if code != exitUsage {
		t.Errorf("exit %d; want %d", code, exitUsage)
	}
	for _, want := range []string{
		`"http://node1" is not a Proxmox endpoint`, `state file "state.db"`, `listening address "7443"`, "interval is 2h", `advertised address ":7443"`,
		"ca.crt", "PSW_HA_GOSSIP_BIND", "no API token", "settings are read from " + file,
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing in:\n%s", want, stderr)
		}
	}
}

func TestASecretThatIsOpenToOthersIsRefused(t *testing.T) {
	dir := keys(t)
	args := []string{"check-config", "--state", filepath.Join(dir, "state.db"), "--tls", filepath.Join(dir, "tls"), "--pve-endpoints", "https://127.0.0.1", "--pve-token-id", "psw@pve!ha"}
	if err := os.Chmod(filepath.Join(dir, "token"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := typed(t, nil, append(args, "--pve-token-file", filepath.Join(dir, "token"))...)
	if code != exitUsage || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	file := filepath.Join(dir, "coordinator.env")
	if err := os.WriteFile(file, []byte("PSW_HA_PVE_TOKEN_SECRET="+secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = typed(t, nil, append(args, "--config", file)...); code != exitUsage || !strings.Contains(stderr, "chmod 600") || strings.Contains(stderr, secret) {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, stdout, stderr := typed(t, map[string]string{"PSW_HA_PVE_TOKEN_SECRET": secret}, args...); code != exitDone || strings.Contains(stdout+stderr, secret) {
		t.Errorf("from the environment: exit %d: %s%s", code, stdout, stderr)
	}
	both := append(args, "--pve-token-file", filepath.Join(dir, "token"))
	if code, _, stderr = typed(t, map[string]string{"PSW_HA_PVE_TOKEN_SECRET": secret}, both...); code != exitUsage || !strings.Contains(stderr, "given twice") {
		t.Errorf("given twice: exit %d: %s", code, stderr)
	}
}

// talk is what a running program says, readable meanwhile.
type talk struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (w *talk) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(b)
	select {
	case w.more <- struct{}{}:
	default:
	}
	return n, err
}

func (w *talk) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// await waits until the talk matches and returns its first group.
func (w *talk) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(time.Minute) // only a hang takes that long
	for {
		if m := re.FindStringSubmatch(w.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-w.more:
		case <-timeout:
			t.Fatalf("%s was not said in:\n%s", pattern, w)
		}
	}
}

// proxmox is the API of a simulated node on loopback.
func proxmox(t *testing.T, dir string) (endpoint, ca string) {
	t.Helper()
	sim := pvesim.New(pvesim.Spec{
		Name:   "home",
		Nodes:  []pvesim.NodeSpec{{Name: "node1"}, {Name: "node2"}, {Name: "node3"}},
		Guests: []pvesim.GuestSpec{{ID: 100, Name: "core", Node: "node1", Running: true}},
		Tokens: []pvesim.TokenSpec{{User: "psw@pve", ID: "ha", Secret: secret}},
	})
	s := httptest.NewTLSServer(sim.API("node1"))
	t.Cleanup(s.Close)
	ca = filepath.Join(dir, "pve-root-ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, ca
}

// The program as an administrator runs it: real sockets, real TLS, a file for its state.
// An operator asks it, it is backed up while it runs, stopped, and brought back.
func TestServe(t *testing.T) {
	dir := keys(t)
	endpoint, ca := proxmox(t, dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	file := at("coordinator.env")
	text := strings.Join([]string{
		"PSW_HA_LISTEN=127.0.0.1:0", "PSW_HA_STATE=" + at("state/psw.db"), "PSW_HA_TLS_DIR=" + at("tls"), "PSW_HA_PVE_ENDPOINTS=" + endpoint,
		"PSW_HA_PVE_TOKEN_ID=psw@pve!ha", "PSW_HA_PVE_TOKEN_FILE=" + at("token"), "PSW_HA_PVE_CA_FILE=" + ca,
		"PSW_HA_GOSSIP_BIND=127.0.0.1:0", "PSW_HA_GOSSIP_KEY_FILE=" + at("gossip.key"), "PSW_HA_GOSSIP_PRESET=local", "PSW_HA_INTERVAL=1s",
		"PSW_HA_LOG_LEVEL=debug", "PSW_HA_METRICS_LISTEN=127.0.0.1:0",
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := typed(t, nil, "check-config", "--config", file, "--ask"); code != exitDone || !strings.Contains(stdout, "cluster home, 3 nodes, 1 guests, quorate: true") {
		t.Errorf("check-config: exit %d: %s%s", code, stdout, stderr)
	}
	if code, _, _ := typed(t, nil, "backup", "--config", file, at("early.db")); code != exitUsage {
		t.Errorf("backup of nothing: exit %d; want %d", code, exitUsage)
	}

	ctx, stop := context.WithCancel(t.Context())
	said := &talk{more: make(chan struct{}, 1)}
	a := app{stdout: said, stderr: said, hostname: func() (string, error) { return "core", nil }}
	ended := make(chan int, 1)
	go func() { ended <- a.main(ctx, []string{"serve", "--config", file}) }()
	address := said.await(t, `msg=listening address=(\S+)`)

	scrape(t, "http://"+said.await(t, `msg="serving metrics" address=(\S+)`)+"/metrics", "psw_ha_coordinator_generation 1")

	cfg, err := rpc.ClientTLS(rpc.FilesIn(at("tls"), rpc.RoleOperator), rpc.RoleCoordinator)
	if err != nil {
		t.Fatal(err)
	}
	op, err := rpc.DialOperator([]string{address}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer op.Close()
	if _, err := op.Check(ctx, ha.CheckRequest{}); err != nil {
		t.Fatal(err)
	}
	st, err := op.Status(ctx, nil)
	if err != nil || len(st.Nodes) != 3 || !strings.Contains(strings.Join(st.Warnings, "\n"), "the coordinator has just started, agents are still connecting: 0 of 3 agents") {
		t.Errorf("status: %+v, %v; want three nodes, and that no agent obeys yet", st, err)
	}

	if code, stdout, stderr := typed(t, nil, "backup", "--config", file, at("copy.db")); code != exitDone || !strings.Contains(stdout, "verified") {
		t.Errorf("backup: exit %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := typed(t, nil, "restore", "--config", file, at("copy.db")); code != exitRefused || !strings.Contains(stderr, "systemctl stop psw-coordinator") {
		t.Errorf("restore while it runs: exit %d: %s", code, stderr)
	}
	if code, _, stderr := typed(t, nil, "serve", "--config", file); code != exitRefused || !strings.Contains(stderr, "another process has it open") {
		t.Errorf("a second coordinator: exit %d: %s", code, stderr)
	}

	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("serve ended with %d:\n%s", code, said)
	}
	if strings.Contains(said.String(), secret) {
		t.Error("the log holds the token's secret")
	}
	if code, stdout, stderr := typed(t, nil, "restore", "--config", file, at("copy.db")); code != exitDone || !strings.Contains(stdout, "before-restore") {
		t.Errorf("restore: exit %d: %s%s", code, stdout, stderr)
	}
	s, err := store.Open(at("state/psw.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if g, err := s.NextGeneration(); err != nil || g <= 2 {
		t.Errorf("generation %d, %v after a restore", g, err)
	}
}

// scrape asks as Prometheus does.
func scrape(t *testing.T, url, want string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%s answers without %q: %v\n%s", url, want, err, text)
	}
}

func TestWhereAgentsAreTold(t *testing.T) {
	for _, tt := range []struct{ listen, bind, advertise, want string }{
		{"10.0.0.5:7443", "0.0.0.0:7444", "", "10.0.0.5:7443"},
		{"[::]:7443", "10.0.0.5:7444", "", "10.0.0.5:7443"},
		{"[::]:7443", "0.0.0.0:7444", "10.0.0.6:7444", "10.0.0.6:7443"},
		{"[::]:7443", "0.0.0.0:7444", "", ""},
	} {
		got, err := reachable(address(tt.listen), gossipConfig{Bind: tt.bind, Advertise: tt.advertise})
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
