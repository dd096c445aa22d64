package check

import (
	"fmt"
	"strings"
	"time"
)

// span writes a duration as people say it: 4 s, 3 min, 2 h, 5 d.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	}
}

// size writes bytes in GiB, or in MiB below one.
func size(bytes int64) string {
	const mib, gib = 1 << 20, 1 << 30
	if bytes < gib && bytes > -gib {
		return fmt.Sprintf("%d MiB", bytes/mib)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/gib)
}

// joined joins things for a sentence.
func joined[T any](items []T) string {
	parts := make([]string, len(items))
	for k, i := range items {
		parts[k] = fmt.Sprint(i)
	}
	return strings.Join(parts, ", ")
}

// number writes a count with its noun: 1 link, 2 links.
func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
