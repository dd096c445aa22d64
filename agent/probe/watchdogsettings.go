package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const softNobootFile = "sys/module/softdog/parameters/soft_noboot"

// softNoboot reports whether softdog shows that it was loaded with soft_noboot=1, which makes
// it log instead of reset. Debian's and Proxmox's kernels do not show it.
func softNoboot(h Host) (bool, error) {
	data, err := optional(h, softNobootFile)
	if err != nil || data == nil {
		return false, err
	}
	switch value := strings.TrimSpace(string(data)); value {
	case "0", "N":
		return false, nil
	case "1", "Y":
		return true, nil
	default:
		return false, fmt.Errorf("neither 0 nor 1: %.20q", value)
	}
}

// nobootConfigured reports whether softdog is told soft_noboot when it is loaded: by
// modprobe's configuration or by the kernel's command line. What its kernel does not show is
// taken from there: a watchdog that was told not to reset must not pass for one that does.
func nobootConfigured(h Host) (bool, error) {
	var missing faults
	noboot := false
	for _, dir := range modprobeFolders {
		texts, err := confFiles(h, dir)
		missing.add(dir, err)
		for _, text := range texts {
			for line := range strings.Lines(text) {
				f := strings.Fields(line)
				if len(f) > 2 && f[0] == "options" && f[1] == "softdog" {
					noboot = noboot || setsNoboot(f[2:], "soft_noboot=")
				}
			}
		}
	}
	cmdline, err := optional(h, "proc/cmdline")
	missing.add("proc/cmdline", bare(err))
	noboot = noboot || setsNoboot(strings.Fields(string(cmdline)), "softdog.soft_noboot=")
	return noboot, missing.err()
}

func setsNoboot(words []string, option string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		value, ok := strings.CutPrefix(word, option)
		return ok && value != "0"
	})
}

// modprobeFolders are where modprobe's configuration lies.
var modprobeFolders = []string{"etc/modprobe.d", "run/modprobe.d", "lib/modprobe.d", "usr/lib/modprobe.d"}

// watchdogNames are modules that provide a watchdog, or get into the way of one, whose names
// do not end as the kernel's habit has it. mei and mei_me are Intel AMT's management engine,
// whose own watchdog resets a machine whatever Proxmox does.
var watchdogNames = []string{"softdog", "hpwdt", "wdat_wdt", "i6300esb", "ipmi_watchdog", "mei", "mei_me", "iTCO_vendor_support"}

func isWatchdogModule(name string) bool {
	return slices.Contains(watchdogNames, name) || strings.HasSuffix(name, "wdt") || strings.HasSuffix(name, "_tco")
}

func loadedWatchdogs(h Host) ([]string, error) {
	modules, err := optional(h, "proc/modules")
	return watchdogModules(modules), err
}

// watchdogModules picks, from /proc/modules, the modules that matter to a watchdog.
func watchdogModules(modules []byte) []string {
	var list []string
	for line := range bytes.Lines(modules) {
		name, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if isWatchdogModule(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// watchdogDriver is the kernel module behind a device: the device it sits on knows its
// driver. softdog sits on none, but has a name of its own.
func watchdogDriver(h Host, d ha.WatchdogDevice) string {
	target, err := h.ReadLink("sys/class/watchdog/" + d.Name + "/device/driver")
	if err == nil {
		return path.Base(target)
	}
	if d.Identity == "Software Watchdog" {
		return "softdog"
	}
	return ""
}

// settingsAgeMax is how long what is configured about watchdogs is remembered.
const settingsAgeMax = time.Minute

// watchdogSettings remembers what is configured about watchdogs: it takes a dozen files and
// changes when somebody edits one.
type watchdogSettings struct {
	at       time.Time
	loaded   []string
	settings ha.Watchdog // Options, SoftNoboot, Blacklisted, RuntimeWatchdog and RuntimeDevice
	missing  faults
}

// read fills in the settings, which belong to the loaded modules.
func (c *watchdogSettings) read(h Host, w *ha.Watchdog, missing *faults) {
	if c.at.IsZero() || time.Since(c.at) > settingsAgeMax || !slices.Equal(c.loaded, w.Loaded) {
		*c = watchdogSettings{at: time.Now(), loaded: w.Loaded}
		var err error
		c.settings.Options, err = moduleOptions(h, w.Loaded)
		c.missing.add("parameters of modules", err)
		c.settings.Blacklisted, err = blacklistedWatchdogs(h, w.Loaded)
		c.missing.add("modprobe.d", err)
		if shown, err := exists(h, softNobootFile); slices.Contains(w.Loaded, "softdog") && (!shown || err != nil) {
			c.settings.SoftNoboot, err = nobootConfigured(h)
			c.missing.add("options of softdog", err)
		}
		c.settings.RuntimeWatchdog, c.settings.RuntimeDevice, err = runtimeWatchdog(h)
		c.missing.add("settings of systemd", err)
		if len(c.missing) > 0 {
			c.at = time.Time{} // look again in the next round
		}
	}
	w.Options, w.Blacklisted = slices.Clone(c.settings.Options), slices.Clone(c.settings.Blacklisted)
	w.SoftNoboot = w.SoftNoboot || c.settings.SoftNoboot
	w.RuntimeWatchdog, w.RuntimeDevice = c.settings.RuntimeWatchdog, c.settings.RuntimeDevice
	*missing = append(*missing, c.missing...)
}

// optionNames are the parameters of watchdog modules that decide what happens, and when.
var optionNames = []string{
	"action", "preaction", "preop", "nowayout", "timeout", "pretimeout", "heartbeat", "margin", "start_now",
	"soft_margin", "soft_noboot", "soft_panic",
}

// moduleOptions reads those parameters of the loaded modules.
func moduleOptions(h Host, modules []string) ([]ha.ModuleOption, error) {
	var options []ha.ModuleOption
	var missing faults
	for _, module := range modules {
		dir := "sys/module/" + module + "/parameters"
		entries, err := fs.ReadDir(h, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		missing.add(module, bare(err))
		for _, entry := range entries {
			if !slices.Contains(optionNames, entry.Name()) {
				continue
			}
			data, err := read(h, dir+"/"+entry.Name())
			missing.add(module+" "+entry.Name(), bare(err))
			if value := strings.TrimSpace(string(data)); value != "" {
				options = append(options, ha.ModuleOption{Module: module, Name: entry.Name(), Value: value})
			}
		}
	}
	return options, missing.err()
}

// blacklistedWatchdogs are those of the loaded modules, and of the competitors that come back
// with the next boot, that a line of modprobe.d keeps from loading themselves.
func blacklistedWatchdogs(h Host, loaded []string) ([]string, error) {
	var list []string
	var missing faults
	for _, dir := range modprobeFolders {
		texts, err := confFiles(h, dir)
		missing.add(dir, err)
		for _, text := range texts {
			for line := range strings.Lines(text) {
				f := strings.Fields(line)
				if len(f) == 2 && f[0] == "blacklist" && (slices.Contains(loaded, f[1]) || slices.Contains(competitors, f[1])) {
					list = append(list, f[1])
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), missing.err()
}

// competitors are modules that a kernel loads by itself on common machines.
var competitors = []string{"mei", "mei_me", "iTCO_wdt", "iTCO_vendor_support", "ipmi_watchdog", "hpwdt", "wdat_wdt", "sp5100_tco"}

// confFiles reads the .conf files of a folder, in the order of their names. A folder that is
// not there has none.
func confFiles(h Host, dir string) ([]string, error) {
	entries, err := fs.ReadDir(h, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, bare(err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".conf") {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	var texts []string
	var missing faults
	for _, name := range names {
		data, err := optional(h, dir+"/"+name)
		missing.add(name, bare(err))
		texts = append(texts, string(data))
	}
	return texts, missing.err()
}

// runtimeWatchdog is what systemd itself does with a watchdog: its configuration, what
// overrides parts of it, and the kernel's command line, which overrides all.
func runtimeWatchdog(h Host) (interval, device string, err error) {
	var missing faults
	main, err := optional(h, "etc/systemd/system.conf")
	missing.add("system.conf", bare(err))
	texts := []string{string(main)}
	for _, dir := range []string{"usr/lib/systemd/system.conf.d", "run/systemd/system.conf.d", "etc/systemd/system.conf.d"} {
		more, err := confFiles(h, dir)
		missing.add(dir, err)
		texts = append(texts, more...)
	}
	for _, text := range texts {
		readManagerConf(text, &interval, &device)
	}
	cmdline, err := optional(h, "proc/cmdline")
	missing.add("proc/cmdline", bare(err))
	for word := range strings.FieldsSeq(string(cmdline)) {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "systemd.watchdog_sec":
			interval = value
		case "systemd.watchdog_device":
			device = value
		}
	}
	if slices.Contains([]string{"off", "0", "0s", "no", "false"}, interval) {
		interval = ""
	}
	return interval, device, missing.err()
}

// readManagerConf reads the section [Manager] of a configuration of systemd.
func readManagerConf(text string, interval, device *string) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[Manager]" {
			continue
		}
		switch strings.TrimSpace(key) {
		case "RuntimeWatchdogSec":
			*interval = strings.TrimSpace(value)
		case "WatchdogDevice":
			*device = strings.TrimSpace(value)
		}
	}
}
