package ha

import "time"

// Watchdog is what the node would be reset by.
type Watchdog struct {
	// Devices are the entries of /sys/class/watchdog, by name.
	Devices []WatchdogDevice `json:"devices"`
	// MuxRunning: a watchdog-mux process exists. MuxDevice is the device it holds open.
	MuxRunning bool   `json:"mux_running"`
	MuxDevice  string `json:"mux_device,omitempty"`
	// MuxActive: /run/watchdog-mux.active exists, i.e. an HA client holds it: the node is armed.
	MuxActive bool `json:"mux_active"`
	// Module is WATCHDOG_MODULE of /etc/default/pve-ha-manager, empty if unset.
	Module string `json:"module,omitempty"`
	// SoftNoboot is softdog's soft_noboot=1: it would not reset the node at all.
	SoftNoboot bool `json:"soft_noboot,omitempty"`
	// Loaded are the loaded kernel modules that provide or compete for a watchdog, sorted.
	Loaded []string `json:"loaded,omitempty"`
	// Options are the parameters those modules run with, by module and name: action and
	// nowayout of ipmi_watchdog, soft_margin of softdog, … (/sys/module/MODULE/parameters).
	Options []ModuleOption `json:"options,omitempty"`
	// Blacklisted are the watchdog modules that a blacklist line of /etc/modprobe.d or
	// /lib/modprobe.d keeps from being loaded by themselves, sorted. Debian blacklists
	// nearly all of them, so that only what is wanted is loaded.
	Blacklisted []string `json:"blacklisted,omitempty"`
	// Holders are processes other than watchdog-mux that hold a watchdog device open.
	Holders []WatchdogHolder `json:"holders,omitempty"`
	// RuntimeWatchdog is RuntimeWatchdogSec= of systemd's own configuration, as written,
	// where that turns it on: systemd then holds a watchdog itself. Empty if it is off.
	RuntimeWatchdog string `json:"runtime_watchdog,omitempty"`
	// RuntimeDevice is WatchdogDevice= there, empty if unset.
	RuntimeDevice string `json:"runtime_device,omitempty"`
}

// Option returns what a loaded module's parameter is set to; ok is false if it has none.
func (w Watchdog) Option(module, name string) (value string, ok bool) {
	for _, o := range w.Options {
		if o.Module == module && o.Name == name {
			return o.Value, true
		}
	}
	return "", false
}

// ModuleOption is a parameter of a loaded kernel module, as the kernel prints it: Y and N
// for true and false.
type ModuleOption struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Value  string `json:"value"`
}

// WatchdogHolder is a process that holds a watchdog device open.
type WatchdogHolder struct {
	// Device is /dev/watchdog or /dev/watchdogN.
	Device string `json:"device"`
	PID    int    `json:"pid"`
	// Process is the kernel's name for it: systemd, wd_keepalive, …
	Process string `json:"process"`
}

// WatchdogDevice is an entry of /sys/class/watchdog.
type WatchdogDevice struct {
	Name string `json:"name"`
	// Identity is the driver's: "Software Watchdog", "i6300ESB timer", …
	Identity string `json:"identity"`
	// Driver is the kernel module behind it: softdog, i6300esb, iTCO_wdt, ipmi_watchdog, …;
	// empty if the kernel does not say. Numbers of devices change between boots, drivers do not.
	Driver string `json:"driver,omitempty"`
	// State is active or inactive.
	State    string        `json:"state"`
	Timeout  time.Duration `json:"timeout"`
	TimeLeft time.Duration `json:"time_left,omitempty"`
	// Pretimeout is how long before the timeout the device warns; 0 if it does not.
	Pretimeout time.Duration `json:"pretimeout,omitempty"`
	Nowayout   bool          `json:"nowayout"`
	// BootStatus is non-zero when the device says that it caused the last reset.
	BootStatus int `json:"boot_status,omitempty"`
}
