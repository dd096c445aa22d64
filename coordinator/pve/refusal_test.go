package pve

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What people read of every refusal recorded from Proxmox: what could not be done, why, and
// what to do. The golden file is the table to review; a sentence that names no next step is
// one where Proxmox's own words say all there is.
func TestRefusalSentences(t *testing.T) {
	var got []string
	for _, r := range recordedRefusals(t) {
		var api *APIError
		if !errors.As(get(ours(t, always(r.Status, r.Reason, r.Body))), &api) {
			t.Fatalf("%s %s: no refusal", r.Method, r.Path)
		}
		sentence := explain(deedText(r.Method, r.Path), api).Error()
		if !strings.HasPrefix(sentence, "cannot ") || strings.Contains(sentence, "\n") {
			t.Errorf("%s %s: %q", r.Method, r.Path, sentence)
		}
		got = append(got, fmt.Sprintf("%-12s %s\n", r.Kind, sentence))
	}
	slices.Sort(got)
	text := strings.Join(slices.Compact(got), "")
	golden := filepath.Join("testdata", "refusals.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		for _, line := range strings.Split(text, "\n") {
			if !strings.Contains(string(want), line+"\n") {
				t.Errorf("not expected (-update writes it): %s", line)
			}
		}
	}
}

// deedText says a request as the deed of ours it is, or would be.
func deedText(method, path string) string {
	sid := ha.MustSID("vm:100")
	switch in := func(prefix string) bool { return strings.HasPrefix(path, prefix) }; {
	case method == "POST" && path == "/cluster/ha/resources":
		return ha.AddResource{Resource: ha.Resource{SID: sid}}.String()
	case method == "POST" && in("/cluster/ha/resources/"):
		return ha.Migrate{SID: sid, From: "pve1", To: "pve2", Method: ha.MethodLive, HA: true}.String()
	case method == "PUT" && in("/cluster/ha/resources/"):
		return ha.UpdateResource{Resource: ha.Resource{SID: sid}}.String()
	case method == "DELETE" && in("/cluster/ha/resources/"):
		return ha.RemoveResource{SID: sid}.String()
	case method == "POST" && in("/cluster/ha/rules"):
		return ha.PutRule{Rule: ha.Rule{ID: "psw-web"}, Create: true}.String()
	case method == "PUT" && in("/cluster/ha/rules"):
		return ha.PutRule{Rule: ha.Rule{ID: "psw-web"}}.String()
	case method == "GET":
		return "read " + path
	}
	return strings.ToLower(method) + " " + path
}

type refusal struct {
	Kind         ha.Kind
	Method, Path string
	Status       int
	Reason, Body string
}

// recordedRefusals are all refusals in the recordings of Proxmox VE 9.2.11, each once.
func recordedRefusals(t *testing.T) []refusal {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "refusals.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []refusal
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r refusal
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if lines.Err() != nil || len(out) < 261 {
		t.Fatalf("read %d recorded refusals: %v", len(out), lines.Err())
	}
	return out
}

// No refusal of the recordings that the simulator is held to is missing in the table.
func TestEveryRecordedRefusalIsInTheTable(t *testing.T) {
	type call struct {
		method, path string
		status       int
		reason       string
	}
	known := make(map[call]bool)
	for _, r := range recordedRefusals(t) {
		known[call{r.Method, r.Path, r.Status, r.Reason}] = true
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "e2e", "pvesim", "testdata", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	seen := 0
	for _, name := range files {
		for _, x := range exchanges(t, name) {
			if x.Status < 400 {
				continue
			}
			seen++
			path, _, _ := strings.Cut(x.URL, "?")
			if !known[call{x.Method, path, x.Status, x.Reason}] {
				t.Errorf("%s: %s of %s: %s %s: %d %s", filepath.Base(name), x.Label, x.Node, x.Method, x.URL, x.Status, x.Reason)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d refusals in %v", seen, files)
	}
}

type exchange struct {
	Label, Node, Method, URL string
	Status                   int
	Reason                   string
}

func exchanges(t *testing.T, name string) (out []exchange) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(z)
	for {
		var x exchange
		switch err := lines.Decode(&x); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, x)
	}
}
