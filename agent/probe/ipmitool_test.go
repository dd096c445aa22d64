package probe

import (
	"strings"
	"testing"
)

func TestPowerStatus(t *testing.T) {
	for text, want := range map[string]bool{
		"Chassis Power is on\n":                            true,
		"Chassis Power is off\n":                           false,
		"Chassis Power is on\r\n":                          true,
		"Unable to open SDR cache\nChassis Power is off\n": false, // a complaint before it
	} {
		if on, err := ParsePowerStatus(text); err != nil || on != want {
			t.Errorf("%q: on=%t, %v", text, on, err)
		}
	}
}

// What a BMC that cannot be reached, is locked or is busy makes ipmitool print is no answer.
func TestPowerStatusThatIsNone(t *testing.T) {
	for _, text := range []string{
		"", "Chassis Power is unknown\n", "Chassis Power Control: Up/On\n", "Chassis Power is on\nChassis Power is off\n",
		"Error: Unable to establish IPMI v2 / RMCP+ session\n", "Get Chassis Power Status failed: Insufficient privilege level\n",
		"chassis power is on\n", "Chassis Power is on fire\n",
	} {
		if on, err := ParsePowerStatus(text); err == nil || on {
			t.Errorf("%q: on=%t, %v", text, on, err)
		}
	}
}

func FuzzPowerStatus(f *testing.F) {
	for _, text := range []string{"Chassis Power is on\n", "Chassis Power is off", "Chassis Power is \n", "x\nChassis Power is on\nChassis Power is on"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		on, err := ParsePowerStatus(text)
		if err == nil && strings.Count(text, "Chassis Power is ") < 1 || on && !strings.Contains(text, "Chassis Power is on") {
			t.Errorf("on=%t, %v", on, err)
		}
	})
}
