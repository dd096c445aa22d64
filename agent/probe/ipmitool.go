package probe

import (
	"fmt"
	"strings"
)

// ParsePowerStatus reads what `ipmitool chassis power status` says of a BMC's machine. Only
// its own sentence counts, and only once: an error message, a banner or a control's echo
// ("Chassis Power Control: Up/On") is no answer, and neither are two.
func ParsePowerStatus(text string) (on bool, err error) {
	answers := 0
	for line := range strings.Lines(text) {
		state, ok := strings.CutPrefix(strings.TrimSpace(line), "Chassis Power is ")
		if !ok {
			continue
		}
		if state != "on" && state != "off" {
			return false, fmt.Errorf("ipmitool: neither on nor off: %.60q", line)
		}
		on, answers = state == "on", answers+1
	}
	if answers != 1 {
		return false, fmt.Errorf("ipmitool did not say whether the machine is on: %.80q", strings.TrimSpace(text))
	}
	return on, nil
}
