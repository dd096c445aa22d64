package cli

import (
	"fmt"
	"strings"
	"time"
)

// The binary units Proxmox's own pages use.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// size writes bytes for people: 512 MiB, 8 GiB, 62.8 GiB. Zero is a dash, because the
// API reports 0 for what it does not know.
func size(bytes int64) string {
	switch {
	case bytes == 0:
		return "-"
	case bytes < 0:
		return "-" + size(-bytes)
	case bytes < mib:
		return scaled(float64(bytes)/kib, "KiB")
	case bytes < gib:
		return scaled(float64(bytes)/mib, "MiB")
	case bytes < tib:
		return scaled(float64(bytes)/gib, "GiB")
	}
	return scaled(float64(bytes)/tib, "TiB")
}

func scaled(v float64, unit string) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + unit
}

// share writes part of whole as a percentage, or nothing where there is no whole.
func share(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%d%%", (part*100+whole/2)/whole)
}

// span writes a duration with at most two units: 80ms, 1.4s, 45s, 1m 12s, 2h 5m, 3d 4h.
// Below ten seconds there is one decimal: it is the length of a pause somebody felt.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d == 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(1, d.Milliseconds()))
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + "s"
	}
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return two(int(d.Minutes()), "m", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "m")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func two(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s %d%s", a, unitA, b, unitB)
}

// age writes how long ago something was, in whole seconds: tenths of a second of an
// age are noise.
func age(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return span(d.Truncate(time.Second)) + " ago"
}

// clock writes an instant of today for a live screen, stamp one for a log or a
// history, both in local time. A zero time is a dash.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// count writes a number with its noun: 1 guest, 2 guests.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") || strings.HasSuffix(noun, "x") {
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// dash stands for an empty cell, so that columns can be counted by awk as by eye.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
