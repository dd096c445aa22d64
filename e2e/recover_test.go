package e2e_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A target does not start any more, on any node: the HA manager has given it up. psw names
// the state and the command that leads out of it; that command disables it and stays open,
// because nothing protects the target meanwhile; the word that it is mended enables it.
func TestATargetInErrorIsLedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	sid := ""
	for _, g := range r.lab.Cluster.Guests() {
		if g.Name == "media" {
			sid = g.SID
		}
	}
	r.says(r.run(3, "ha", "recover", "media", "--yes"), "it is not in error", "`psw ha explain media`")

	r.tell("crash", sid, "20")
	r.wait(2*time.Minute, "the HA manager has given media up", func() bool {
		return strings.Contains(r.file("node1", "etc/pve/ha/manager_status"), `"error"`)
	})
	r.says(r.proves(3, "ha", "check", "--only", "TARGET_IN_ERROR"), "media", "ha recover media leads it out")
	r.says(r.run(0, "ha", "status"), "the HA manager has given it up; `psw ha explain media`")
	r.says(r.run(0, "ha", "recover", "media", "--dry-run"), "ha-manager set "+sid+" --state disabled", "# mend "+sid, "ha-manager set "+sid+" --state started", "it failed on")

	var out bytes.Buffer
	cmd := r.command("ha", "recover", "media", "--yes")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait(30*time.Second, "psw says what is to be mended by somebody", func() bool {
		said, _ := r.command("ha", "status").CombinedOutput()
		return strings.Contains(string(said), "waits for you:") && strings.Contains(string(said), "psw ha recover media --mended")
	})
	r.says(r.run(3, "ha", "explain", "media"), "it is being led out of error", "psw ha recover media --mended")
	if conf := r.file("node1", "etc/pve/ha/resources.cfg"); !strings.Contains(conf, "state disabled") {
		t.Errorf("media is not disabled:\n%s", conf)
	}
	if r.at("media") != "" {
		t.Error("media was started before anybody said that it is mended")
	}

	r.tell("crash", sid, "0")
	r.says(r.run(0, "ha", "recover", "media", "--mended", "--yes"), "It is under way already")
	if err := cmd.Wait(); err != nil {
		t.Errorf("who followed from the beginning was told: %v\n%s", err, out.String())
	}
	r.wait(30*time.Second, "media runs again", func() bool { return r.at("media") != "" })
	if conf := r.file("node1", "etc/pve/ha/resources.cfg"); strings.Contains(conf, "state disabled") {
		t.Errorf("media is still disabled:\n%s", conf)
	}
	r.unharmed()
}
