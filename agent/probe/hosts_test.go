package probe

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var update = flag.Bool("update", false, "rewrite the files in testdata from what is seen now")

// load reads a recording of testdata/hosts.
func load(t testing.TB, name string) *Recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "hosts", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecording(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// lookAt looks at a recording, in a bubble: what hangs costs no real time there.
func lookAt(t *testing.T, r *Recording) (report ha.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { report = Look(t.Context(), r, r.Node) })
	return report
}

// lookWriting looks at a recording as an agent does, which may write to mounts.
func lookWriting(t *testing.T, r *Recording) (report ha.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		prober := New(r, r.Node)
		prober.TestWrites(WriteEvery)
		report = prober.Look(t.Context())
	})
	return report
}

// TestHosts looks at every recorded machine and compares with the report beside it.
func TestHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/hosts/*.txt")
	if err != nil || len(files) < 90 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			report := lookAt(t, load(t, name))
			report.Taken, report.Took = report.Taken.UTC(), 0
			got, err := json.MarshalIndent(report, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := strings.TrimSuffix(file, ".txt") + ".json"
			if *update {
				if err := os.WriteFile(golden, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the report of %s changed (-want +got):\n%s", name, diff)
			}
		})
	}
}

// TestCorosyncOfHosts says of each recorded machine, in a form short enough to hold
// against the raw text by eye, what corosync told it: quorum, votes, members, and per
// peer its links, + connected and - not.
func TestCorosyncOfHosts(t *testing.T) {
	for line := range strings.Lines(corosyncOfHosts) {
		name, want, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if got := corosyncSummary(lookAt(t, load(t, name))); got != strings.TrimSpace(want) {
			t.Errorf("%s\n got %s\nwant %s", name, got, strings.TrimSpace(want))
		}
	}
}

func corosyncSummary(r ha.Report) string {
	c := r.Corosync
	if why, failed := r.Failed(ha.ProbeCorosync); failed {
		return "unknown: " + why
	}
	if !c.Running {
		return "not running"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "quorate=%t %d/%d %v", c.Quorate, c.Votes, c.Expected, c.Members)
	peer := 0
	for _, l := range c.Links {
		if l.PeerID != peer {
			peer = l.PeerID
			fmt.Fprintf(&b, " %d:", peer)
		}
		fmt.Fprintf(&b, "%d%s", l.Number, map[bool]string{true: "+", false: "-"}[l.Connected])
	}
	return b.String()
}

const corosyncOfHosts = `
asymmetric-input-drop.pve1                         quorate=true 2/3 [1 2] 2:0+1+ 3:0-1-
asymmetric-input-drop.pve2                         quorate=true 2/3 [1 2] 1:0+1+ 3:0-1-
asymmetric-input-drop.pve3                         quorate=false 1/3 [3] 1:0-1- 2:0-1-
cluster-01-healthy-idle-no-ha.pve1                 quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-01-healthy-idle-no-ha.pve2                 quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-01-healthy-idle-no-ha.pve3                 quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-02-healthy-3-ha-vms.pve1                   quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-02-healthy-3-ha-vms.pve2                   quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-02-healthy-3-ha-vms.pve3                   quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-03-six-vms-before-maintenance.pve1         quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-03-six-vms-before-maintenance.pve2         quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-03-six-vms-before-maintenance.pve3         quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-04-maintenance-draining.pve1               quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-04-maintenance-draining.pve2               quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-04-maintenance-draining.pve3               quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-05-maintenance-drained.pve1                quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-05-maintenance-drained.pve2                quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-05-maintenance-drained.pve3                quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-06-disarmed-freeze.pve1                    quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-06-disarmed-freeze.pve2                    quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-06-disarmed-freeze.pve3                    quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-07-disarmed-ignore.pve1                    quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-07-disarmed-ignore.pve2                    quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-07-disarmed-ignore.pve3                    quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-08-before-power-cut-pve3.pve1              quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-08-before-power-cut-pve3.pve2              quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-08-before-power-cut-pve3.pve3              quorate=true 3/3 [1 2 3] 1:0+ 2:0+
cluster-09-powercut-pve3-t005.pve1                 quorate=true 3/3 [1 2 3] 2:0+ 3:0-
cluster-09-powercut-pve3-t005.pve2                 quorate=true 3/3 [1 2 3] 1:0+ 3:0-
cluster-09-powercut-pve3-t020.pve1                 quorate=true 2/3 [1 2] 2:0+ 3:0-
cluster-09-powercut-pve3-t020.pve2                 quorate=true 2/3 [1 2] 1:0+ 3:0-
cluster-09-powercut-pve3-t070.pve1                 quorate=true 2/3 [1 2] 2:0+ 3:0-
cluster-09-powercut-pve3-t070.pve2                 quorate=true 2/3 [1 2] 1:0+ 3:0-
cluster-09-powercut-pve3-t140.pve1                 quorate=true 2/3 [1 2] 2:0+ 3:0-
cluster-09-powercut-pve3-t140.pve2                 quorate=true 2/3 [1 2] 1:0+ 3:0-
cluster-10-partition-pve1-minority-t020.pve1       quorate=false 1/3 [1] 2:0- 3:0-
cluster-10-partition-pve1-minority-t020.pve2       quorate=true 2/3 [2 3] 1:0- 3:0+
cluster-10-partition-pve1-minority-t020.pve3       quorate=true 2/3 [2 3] 1:0- 2:0+
cluster-10-partition-pve1-minority-t050.pve1       quorate=false 1/3 [1] 2:0- 3:0-
cluster-10-partition-pve1-minority-t050.pve2       quorate=true 2/3 [2 3] 1:0- 3:0+
cluster-10-partition-pve1-minority-t050.pve3       quorate=true 2/3 [2 3] 1:0- 2:0+
cluster-11-partition-after-reset.pve2              quorate=true 2/3 [2 3] 1:0- 3:0+
cluster-11-partition-after-reset.pve3              quorate=true 2/3 [2 3] 1:0- 2:0+
cluster-12-healed.pve1                             quorate=true 3/3 [1 2 3] 2:0+ 3:0+
cluster-12-healed.pve2                             quorate=true 3/3 [1 2 3] 1:0+ 3:0+
cluster-12-healed.pve3                             quorate=true 3/3 [1 2 3] 1:0+ 2:0+
corosync-sigstop.pve3                              unknown: corosync-quorumtool did not answer within 2s
corosync-stopped.pve1                              quorate=true 2/3 [1 2] 2:0+1+ 3:0-1-
corosync-stopped.pve2                              quorate=true 2/3 [1 2] 1:0+1+ 3:0-1-
corosync-stopped.pve3                              not running
healed-after-isolation.pve1                        quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
healed-after-isolation.pve2                        quorate=true 3/3 [1 2 3] 1:0+1+ 3:0+1+
healed-after-isolation.pve3                        quorate=true 3/3 [1 2 3] 1:0+1+ 2:0+1+
healthy.pve1                                       quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
healthy.pve2                                       quorate=true 3/3 [1 2 3] 1:0+1+ 3:0+1+
healthy.pve3                                       quorate=true 3/3 [1 2 3] 1:0+1+ 2:0+1+
link0-down-nft.pve1                                quorate=true 3/3 [1 2 3] 2:0+1+ 3:0-1+
link0-down-nft.pve2                                quorate=true 3/3 [1 2 3] 1:0+1+ 3:0-1+
link0-down-nft.pve3                                quorate=true 3/3 [1 2 3] 1:0-1+ 2:0-1+
link1-down-carrier.pve1                            quorate=true 3/3 [1 2 3] 2:0+1- 3:0+1+
link1-down-carrier.pve2                            quorate=true 3/3 [1 2 3] 1:0+1- 3:0+1-
link1-down-carrier.pve3                            quorate=true 3/3 [1 2 3] 1:0+1+ 2:0+1-
link1-down-ifdown.pve1                             quorate=true 3/3 [1 2 3] 2:0+1- 3:0+1+
link1-down-ifdown.pve2                             quorate=true 3/3 [1 2 3] 1:0+1- 3:0+1-
link1-down-ifdown.pve3                             quorate=true 3/3 [1 2 3] 1:0+1+ 2:0+1-
link1-down-silent.pve1                             quorate=true 3/3 [1 2 3] 2:0+1- 3:0+1+
link1-down-silent.pve2                             quorate=true 3/3 [1 2 3] 1:0+1- 3:0+1-
link1-down-silent.pve3                             quorate=true 3/3 [1 2 3] 1:0+1+ 2:0+1-
minority-isolated-nft.pve1                         quorate=true 2/3 [1 2] 2:0+1+ 3:0-1-
minority-isolated-nft.pve2                         quorate=true 2/3 [1 2] 1:0+1+ 3:0-1-
minority-isolated-nft.pve3                         quorate=false 1/3 [3] 1:0-1- 2:0-1-
nfs-healthy.pve1                                   quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
nfs-not-mounted.pve1                               quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
nfs-server-dead.pve1                               quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
nfs-server-frozen.pve1                             quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
nfs-server-nfsd-stopped.pve1                       quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
nfs-unexported.pve1                                quorate=true 3/3 [1 2 3] 2:0+1+ 3:0+1+
node-booting.pve2-at-007.3s                        not running
node-booting.pve2-at-008.6s                        quorate=false 1/3 [2] 1:0-1- 3:0-1-
node-booting.pve2-at-013.5s                        quorate=false 1/3 [2] 1:0+1+ 3:0-1-
node-booting.pve2-at-014.3s                        quorate=true 2/3 [1 2] 1:0+1+ 3:0-1-
node-dead.pve1                                     quorate=true 2/3 [1 2] 2:0+1+ 3:0-1-
node-dead.pve2                                     quorate=true 2/3 [1 2] 1:0+1+ 3:0-1-
quorum-lost-2-dead.pve1                            quorate=false 1/3 [1] 2:0-1- 3:0-1-
systemd-healthy.pve1                               unknown: corosync-quorumtool is not in the recording: file does not exist
`
