package ha_test

import (
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Of a command nothing but its program and its end is told, however its arguments are quoted
// and wherever the text was cut.
func TestACommandLineIsNotTold(t *testing.T) {
	for said, want := range map[string]string{
		"start failed: command '/usr/bin/kvm -id 101' failed: got timeout":                           "start failed: command '/usr/bin/kvm …' failed: got timeout",
		"command 'kvm -a 'b,secret' -c 'd' failed: exit code 1":                                      "command 'kvm …' failed: exit code 1",
		"command '/usr/bin/kvm -id 101 -name 'web' -drive file=secret":                               "command '/usr/bin/kvm …'",
		"command '/usr/bin/kvm -a secret' failed: open3: exec of kvm -a secret failed: No such file": "command '/usr/bin/kvm …' failed: No such file",
		"command '":                      "command ' …'",
		"unable to start service vm:101": "unable to start service vm:101",
		"":                               "",
	} {
		if got := ha.WithoutCommandLine(said); got != want {
			t.Errorf("%q is told as %q, want %q", said, got, want)
		}
	}
}
