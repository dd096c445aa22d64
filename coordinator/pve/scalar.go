package pve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Proxmox is written in Perl, where a number read from a file is a string and false is
// the empty string. The same field is a number on one node and a string on the next, and
// the API's own schema is not applied to answers. So every scalar of an answer is read by
// one of these types, which take 1, "1", 1.0, true, "" and null alike.

// Int is a whole number. A fraction is cut off; null, "" and false are 0.
type Int int64

// Float is a number. null, "" and false are 0.
type Float float64

// Bool is true for 1, "1", true, "true", "yes", "on"; false for 0, "0", "", false, null,
// "false", "no", "off".
type Bool bool

// String is a text; numbers and booleans become what Perl would print.
type String string

// Time is a Unix time in seconds. null, "" and 0 are the zero time.
type Time struct{ time.Time }

// UnmarshalJSON reads any scalar.
func (v *Int) UnmarshalJSON(b []byte) error {
	// The common case first: a cluster of 10,000 guests has 60,000 of these.
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*v = Int(n)
		return nil
	}
	f, err := number(b)
	if err != nil {
		return err
	}
	switch {
	case f >= math.MaxInt64:
		*v = math.MaxInt64
	case f <= math.MinInt64:
		*v = math.MinInt64
	default:
		*v = Int(f)
	}
	return nil
}

// UnmarshalJSON reads any scalar.
func (v *Float) UnmarshalJSON(b []byte) error {
	f, err := number(b)
	if err != nil {
		return err
	}
	*v = Float(f)
	return nil
}

// UnmarshalJSON reads any scalar.
func (v *Bool) UnmarshalJSON(b []byte) error {
	s, err := scalar(b)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "0", "false", "no", "off":
		*v = false
		return nil
	case "1", "true", "yes", "on":
		*v = true
		return nil
	}
	f, err := number(b)
	if err != nil {
		return fmt.Errorf("%s is neither true nor false", excerpt(b))
	}
	*v = f != 0
	return nil
}

// UnmarshalJSON reads any scalar.
func (v *String) UnmarshalJSON(b []byte) error {
	s, err := scalar(b)
	if err != nil {
		return err
	}
	*v = String(s)
	return nil
}

// UnmarshalJSON reads any scalar.
func (v *Time) UnmarshalJSON(b []byte) error {
	f, err := number(b)
	if err != nil {
		return err
	}
	// Beyond the year 9999 a time no longer marshals; nothing Proxmox sends is there.
	const end = 253402300799
	if f <= 0 || f > end {
		v.Time = time.Time{}
		return nil
	}
	v.Time = time.Unix(int64(f), 0).UTC()
	return nil
}

// number reads a scalar as a number.
func number(b []byte) (float64, error) {
	s, err := scalar(b)
	if err != nil {
		return 0, err
	}
	switch s = strings.TrimSpace(s); s {
	case "", "false":
		return 0, nil
	case "true":
		return 1, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%s is not a number", excerpt(b))
	}
	return f, nil
}

// scalar reads a JSON scalar as text; an object or an array is an error.
func scalar(b []byte) (string, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", fmt.Errorf("nothing where a value should be")
	}
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return "", err
		}
		return s, nil
	case '{', '[':
		return "", fmt.Errorf("%s is not a single value", excerpt(b))
	}
	if string(b) == "null" {
		return "", nil
	}
	return string(b), nil
}

// excerpt cuts a value so that an error stays readable.
func excerpt(b []byte) string {
	const most = 40
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}

// properties is a Proxmox property string, which answers show either as an object or as
// the text key=value,key=value.
type properties map[string]String

// UnmarshalJSON reads either form; null is empty.
func (p *properties) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	*p = properties{}
	if len(b) > 0 && b[0] == '{' {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		for k, raw := range m {
			// Nested values are none of ours; the plain ones beside them still count.
			if s, err := scalar(raw); err == nil {
				(*p)[k] = String(s)
			}
		}
		return nil
	}
	text, err := scalar(b)
	if err != nil {
		return err
	}
	for _, part := range strings.Split(text, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			(*p)[strings.TrimSpace(k)] = String(v)
		}
	}
	return nil
}

// on reads one property as a truth value.
func (p properties) on(key string) bool {
	var v Bool
	raw, err := json.Marshal(string(p[key]))
	return err == nil && v.UnmarshalJSON(raw) == nil && bool(v)
}

// list splits a Proxmox list: commas, semicolons and blanks separate.
func list(s String) []string {
	return strings.FieldsFunc(string(s), func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' || r == 0
	})
}
