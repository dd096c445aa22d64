package main

import (
	"os"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/agent"
)

// The unit and the example configuration are written in other words than the program;
// these are the ones that must agree.
func TestTheUnitAgreesWithTheProgram(t *testing.T) {
	unit := read(t, "../../../deploy/systemd/psw-agent.service")
	for _, want := range []string{
		"Type=notify",
		"WatchdogSec=", // heartbeat feeds it
		"EnvironmentFile=-" + configFile,
		"ExecStart=/usr/bin/psw-agent run\n",
		"StateDirectory=" + strings.TrimPrefix(agent.DefaultConfig().StateDir, "/var/lib/"),
		"PrivateDevices=yes", // never near /dev/watchdog
	} {
		if !strings.Contains(unit, want) {
			t.Errorf("psw-agent.service does not say %s", want)
		}
	}
	// These would show the agent other mounts than the node has.
	for _, harmful := range []string{"ProtectSystem=strict", "ProtectSystem=full", "ProtectProc=", "ProcSubset=", "\nProtectHome=", "\nProtectClock="} {
		if strings.Contains(unit, harmful) {
			t.Errorf("psw-agent.service says %s: the agent would no longer see the node as it is", strings.TrimSpace(harmful))
		}
	}
}

func TestTheExampleConfigurationIsRight(t *testing.T) {
	text := read(t, "../../../deploy/systemd/agent.env")
	if _, err := loaded(t, text, nil); err != nil {
		t.Error(err)
	}
	// What is commented out is an example as well.
	if _, err := loaded(t, strings.ReplaceAll(text, "\n#PSW", "\nPSW"), nil); err != nil {
		t.Errorf("with everything switched on: %v", err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
