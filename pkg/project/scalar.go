package project

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// text reads one line of text; a number or true is taken as it is written.
func (v value) text() (string, bool) {
	n := v.resolve()
	if n == nil {
		return "", false
	}
	text, ok := scalarText(n)
	if !ok {
		v.wrong("text", "write one value")
		return "", false
	}
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, unicode.IsControl) {
		v.src.fault(v.at, "write one line of text", "%s contains line breaks or control characters", v.path)
		return "", false
	}
	return text, text != ""
}

// boolean reads true or false; what is neither is a fault and false.
func (v value) boolean() bool {
	n := v.resolve()
	if n == nil {
		return false
	}
	if t, ok := n.(*ast.BoolNode); ok {
		return t.Value
	}
	text, _ := scalarText(n)
	switch strings.ToLower(text) {
	case "yes", "on", "y", "true", "1":
		v.wrong("true or false", "write true")
	case "no", "off", "n", "false", "0":
		v.wrong("true or false", "write false")
	default:
		v.wrong("true or false", "write true or false")
	}
	return false
}

// integer reads a whole number between low and high, in unit ("MiB", or ""). Larger and
// smaller ones are faults.
func (v value) integer(low, high int64, unit, fix string) (int64, bool) {
	n := v.resolve()
	if n == nil {
		return 0, false
	}
	var i int64
	t, ok := n.(*ast.IntegerNode)
	if ok {
		switch x := t.Value.(type) {
		case int64:
			i = x
		case uint64:
			i = int64(min(x, 1<<62))
		}
	} else {
		text, _ := scalarText(n)
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			v.wrong("a number", fmt.Sprintf("write %s without quotes", text))
		} else {
			v.wrong("a whole number", fix)
		}
		return 0, false
	}
	if unit != "" {
		unit = " " + unit
	}
	switch {
	case i < 0:
		v.src.fault(v.at, fix, "%s is negative: %d", v.path, i)
	case i < low:
		v.src.fault(v.at, fix, "%s is %d%s; the least is %d%s", v.path, i, unit, low, unit)
	case i > high:
		v.src.fault(v.at, fix, "%s is %d%s; the most is %d%s", v.path, i, unit, high, unit)
	default:
		return i, true
	}
	return 0, false
}

// number reads a number, whole or not, above 0 and up to high.
func (v value) number(high float64, fix string) (float64, bool) {
	n := v.resolve()
	if n == nil {
		return 0, false
	}
	f, ok := n.(*ast.FloatNode)
	if !ok {
		i, ok := v.integer(1, int64(high), "", fix)
		return float64(i), ok
	}
	if f.Value <= 0 || f.Value > high {
		v.src.fault(v.at, fix, "%s is %s; it must be above 0 and at most %g", v.path, f.GetToken().Value, high)
		return 0, false
	}
	return f.Value, true
}
