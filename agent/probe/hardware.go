package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookHardware reads what the firmware, the processor and the package manager say of the
// machine. A machine without DMI, such as a container or a small ARM board, has no vendor.
func lookHardware(_ context.Context, r *round) (facts, error) {
	var w ha.Hardware
	var missing faults
	for _, dmi := range []struct {
		file  string
		field *string
	}{
		{"sys_vendor", &w.Vendor}, {"product_name", &w.Product}, {"board_vendor", &w.BoardVendor}, {"bios_version", &w.BIOS},
	} {
		data, err := optional(r.host, "sys/class/dmi/id/"+dmi.file)
		missing.add(dmi.file, bare(err))
		*dmi.field = strings.TrimSpace(string(data))
	}
	data, err := read(r.host, "proc/cpuinfo")
	if err == nil {
		err = parseCPUInfo(string(data), &w)
	}
	missing.add("proc/cpuinfo", bare(err))
	w.NewestKernel, err = nextKernel(r.host)
	missing.add("boot", bare(err))
	w.IPMI, err = exists(r.host, "sys/class/ipmi/ipmi0")
	missing.add("sys/class/ipmi", bare(err))
	return func(report *ha.Report) { report.Hardware = w }, missing.err()
}

// parseCPUInfo reads the first processor of /proc/cpuinfo: a node's are all alike.
func parseCPUInfo(data string, w *ha.Hardware) error {
	var flags []string
	first, _, _ := strings.Cut(data, "\n\n")
	for line := range strings.Lines(first) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "vendor_id":
			w.CPUVendor = value
		case "model name":
			w.CPUModel = value
		case "microcode":
			w.Microcode = value
		case "flags", "Features":
			flags = strings.Fields(value)
		}
	}
	if !strings.Contains(first, "processor") {
		return errors.New("no processor")
	}
	slices.Sort(flags)
	flags = slices.Compact(flags)
	has := func(flag string) bool { _, found := slices.BinarySearch(flags, flag); return found }
	w.Hypervisor, w.Virtualization = has("hypervisor"), has("vmx") || has("svm")
	w.CPULevel = cpuLevel(has)
	if len(flags) > 0 {
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(strings.Join(flags, " "))) // it never fails
		w.CPUFlags = fmt.Sprintf("%016x", sum.Sum64())
	}
	return nil
}

// cpuLevels are what each x86-64 level adds, in the kernel's names for the features.
var cpuLevels = []string{
	"lm cmov cx8 fpu fxsr mmx syscall sse2",
	"cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
	"avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
	"avx512f avx512bw avx512cd avx512dq avx512vl",
}

// cpuLevel is the highest level whose features are all there, with those of all below.
func cpuLevel(has func(string) bool) int {
	for level, names := range cpuLevels {
		for name := range strings.FieldsSeq(names) {
			if !has(name) {
				return level
			}
		}
	}
	return len(cpuLevels)
}

// nextKernel is the kernel that the next boot takes: the one proxmox-boot-tool has pinned,
// or the newest in /boot.
func nextKernel(h Host) (string, error) {
	pin, err := optional(h, "etc/kernel/proxmox-boot-pin")
	if err != nil {
		return "", err
	}
	if version := strings.TrimSpace(string(pin)); version != "" {
		return version, nil
	}
	entries, err := fs.ReadDir(h, "boot")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	newest := ""
	for _, entry := range entries {
		version, ok := strings.CutPrefix(entry.Name(), "vmlinuz-")
		if ok && (newest == "" || compareVersions(version, newest) > 0) {
			newest = version
		}
	}
	return newest, nil
}

// compareVersions compares two kernels' versions number by number; where there is none,
// text by text.
func compareVersions(a, b string) int {
	parts := func(s string) []string {
		return strings.FieldsFunc(s, func(c rune) bool { return c == '.' || c == '-' || c == '+' || c == '~' })
	}
	return slices.CompareFunc(parts(a), parts(b), func(x, y string) int {
		m, errM := strconv.Atoi(x)
		n, errN := strconv.Atoi(y)
		if errM == nil && errN == nil {
			return cmp.Compare(m, n)
		}
		return cmp.Compare(x, y)
	})
}
