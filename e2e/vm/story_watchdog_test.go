//go:build vm

package vm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A kernel that panics and stays where it is: a hardware watchdog resets the node, and says
// so after the reset. softdog is part of that kernel, and does nothing.
func TestSoftdogAgainstAHardwareWatchdog(t *testing.T) {
	lab := start(t, "pve2", "pve3")
	soft, hard := lab.Node("pve2"), lab.Node("pve3")
	hard.UseWatchdog("i6300esb")
	identified := map[string]func(View) string{}
	for node, identity := range map[string]string{"pve2": "Software Watchdog", "pve3": "i6300ESB timer"} {
		identified[node] = func(v View) string {
			w := mustReport(t, v, node).Watchdog
			if len(w.Devices) != 1 || w.Devices[0].Identity != identity || w.Devices[0].State != "active" || w.MuxDevice != "/dev/watchdog0" {
				return describe(w)
			}
			return ""
		}
	}
	lab.AwaitEach("pve3 reports a hardware watchdog, pve2 softdog", time.Minute, identified)
	lab.AwaitFinding(check.WatchdogSoftware, "pve3", ha.Pass, 15*time.Second)
	lab.AwaitFinding(check.WatchdogSoftware, "pve2", ha.Warn, 15*time.Second)

	before := mustReport(t, lab.Look(), "pve3").System.BootID
	panicked := time.Now()
	soft.Panic()
	hard.Panic()
	lab.Await("the hardware watchdog resets pve3", time.Minute, func(View) string {
		if at, ok := hard.BittenAfter(panicked); ok {
			t.Logf("%6.1f s  from the panic to its bite", at.Sub(panicked).Seconds())
			return ""
		}
		return "it has not bitten"
	})
	lab.AwaitFinding(check.WatchdogCausedReset, "pve3", ha.Notice, 5*time.Minute)
	if after := mustReport(t, lab.Look(), "pve3").System.BootID; after == before {
		t.Error("pve3 has the boot id it had before")
	}
	if at, ok := soft.ResetAfter(panicked); ok {
		t.Errorf("softdog reset a panicked kernel after %s", at.Sub(panicked))
	}
	t.Logf("%6.1f s  after the panic pve2 still hangs: softdog cannot reset it", time.Since(panicked).Seconds())
}

// watchdog-mux dies: the watchdog it fed bites ten seconds later, and nothing can stop it.
func TestWatchdogMuxDies(t *testing.T) {
	lab := start(t)
	pve1 := lab.Node("pve1")
	killed := time.Now()
	pve1.Run("pkill -KILL -x watchdog-mux")
	lab.Watch("softdog resets pve1", time.Minute, func() string {
		if at, ok := pve1.ResetAfter(killed); ok {
			t.Logf("%6.1f s  from the end of watchdog-mux to the reset", at.Sub(killed).Seconds())
			return ""
		}
		return "QEMU tells of no reset"
	})
}

func describe(w ha.Watchdog) string {
	var b strings.Builder
	for _, d := range w.Devices {
		b.WriteString(d.Name + " " + d.Identity + " " + d.State + "; ")
	}
	return b.String() + "mux holds " + w.MuxDevice
}
