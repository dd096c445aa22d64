package project

import (
	"fmt"
	"strconv"
	"strings"
)

// unit is what a size in network.yml counts: memory MiB, disk GiB.
type unit struct {
	name    string
	shift   int // to bytes
	example int
}

var (
	mebibyte = unit{"MiB", 20, 4096}
	gibibyte = unit{"GiB", 30, 100}
)

// sizeFix says how a size that cannot be right is written in unit u. It recognises the
// usual slips: 40G, 40 GiB, bytes, and GiB where MiB are meant.
func sizeFix(v value, u unit) string {
	text, _ := scalarText(v.resolve())
	text = strings.ReplaceAll(asciiLower(text), " ", "")
	count, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && count >= 1<<u.shift && count%(1<<u.shift) == 0:
		return fmt.Sprintf("the unit is %s, not bytes: write %d", u.name, count>>u.shift)
	case err == nil && u == mebibyte && 0 < count && count < memoryMin:
		return fmt.Sprintf("the unit is MiB: %d GiB are %d", count, count<<10)
	}
	digits := strings.TrimRight(text, "kmgtib")
	suffix := strings.TrimRight(text[len(digits):], "ib")
	shift, known := map[string]int{"k": 10, "m": 20, "g": 30, "t": 40}[suffix]
	count, err = strconv.ParseInt(digits, 10, 32)
	if known && shift >= u.shift && err == nil && count > 0 {
		return fmt.Sprintf("the unit is %s: write %d", u.name, count<<(shift-u.shift))
	}
	return fmt.Sprintf("write a whole number of %s, e.g. %d", u.name, u.example)
}
