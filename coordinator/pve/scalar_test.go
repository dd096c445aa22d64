package pve

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// One field is a number on one node and a string on the next; all of these forms were
// seen from real nodes or are what Perl makes of true and false.
func TestScalars(t *testing.T) {
	for _, tt := range []struct {
		json string
		i    int64
		f    float64
		b    bool
		s    string
	}{
		{`1`, 1, 1, true, "1"},
		{`"1"`, 1, 1, true, "1"},
		{`1.0`, 1, 1, true, "1.0"},
		{`true`, 1, 1, true, "true"},
		{`false`, 0, 0, false, "false"},
		{`0`, 0, 0, false, "0"},
		{`"0"`, 0, 0, false, "0"},
		{`""`, 0, 0, false, ""},
		{`null`, 0, 0, false, ""},
		{`" 1 "`, 1, 1, true, " 1 "},
	} {
		var v struct {
			I Int
			F Float
			B Bool
			S String
		}
		if err := json.Unmarshal([]byte(`{"I":`+tt.json+`,"F":`+tt.json+`,"B":`+tt.json+`,"S":`+tt.json+`}`), &v); err != nil {
			t.Errorf("%s: %v", tt.json, err)
			continue
		}
		if int64(v.I) != tt.i || float64(v.F) != tt.f || bool(v.B) != tt.b || (string(v.S) != tt.s && tt.json != "null") {
			t.Errorf("%s: got %+v", tt.json, v)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]Int{
		`25276518400`: 25276518400, `"25276518400"`: 25276518400, `2.52765184e+10`: 25276518400,
		`0.5`: 0, `"2.9"`: 2, `-1`: -1, `1e300`: math.MaxInt64, `-1e300`: math.MinInt64,
	} {
		var v Int
		if err := json.Unmarshal([]byte(text), &v); err != nil || v != want {
			t.Errorf("%s: %d, %v", text, v, err)
		}
	}
	for text, want := range map[string]Float{`0.5`: 0.5, `"0.5"`: 0.5, `1`: 1} {
		var v Float
		if err := json.Unmarshal([]byte(text), &v); err != nil || v != want {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
	for _, text := range []string{`"lots"`, `{}`, `[1]`, `"NaN"`, `"Inf"`} {
		var i Int
		var f Float
		var tm Time
		if json.Unmarshal([]byte(text), &i) == nil || json.Unmarshal([]byte(text), &f) == nil || json.Unmarshal([]byte(text), &tm) == nil {
			t.Errorf("%s was taken for a number", text)
		}
	}
	for _, text := range []string{`{}`, `[1]`} {
		var s String
		var b Bool
		if json.Unmarshal([]byte(text), &s) == nil || json.Unmarshal([]byte(text), &b) == nil {
			t.Errorf("%s was taken for one value", text)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 1, 57, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`1795219317`: at, `"1795219317"`: at, `1795219317.9`: at,
		`0`: {}, `""`: {}, `null`: {}, `-5`: {}, `1e30`: {},
	} {
		var v Time
		if err := json.Unmarshal([]byte(text), &v); err != nil || !v.Equal(want) {
			t.Errorf("%s: %s, %v", text, v, err)
		}
	}
}

func TestProperties(t *testing.T) {
	for _, text := range []string{
		`{"ha":"static","ha-rebalance-on-start":1,"nested":{"x":1}}`,
		`"ha=static,ha-rebalance-on-start=1"`,
		`{"ha":"static","ha-rebalance-on-start":"1"}`,
		`{"ha":"static","ha-rebalance-on-start":true}`,
	} {
		var p properties
		if err := json.Unmarshal([]byte(text), &p); err != nil || p["ha"] != "static" || !p.on("ha-rebalance-on-start") || p.on("ha-auto-rebalance") {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	var p properties
	if err := json.Unmarshal([]byte(`null`), &p); err != nil || p.on("ha") {
		t.Errorf("null: %v, %v", p, err)
	}
}

func FuzzScalars(f *testing.F) {
	for _, s := range []string{`1`, `"1"`, `1.0`, `true`, `""`, `null`, `0.5`, `"x"`, `{}`, `[`, ``, `1e999`, `"\ud800"`, `"a=b,c"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var i Int
		var fl Float
		var bo Bool
		var s String
		var tm Time
		var p properties
		_ = i.UnmarshalJSON(b)
		_ = fl.UnmarshalJSON(b)
		_ = bo.UnmarshalJSON(b)
		_ = s.UnmarshalJSON(b)
		if tm.UnmarshalJSON(b) == nil {
			if _, err := json.Marshal(tm.Time); err != nil {
				t.Errorf("%q became a time that cannot be stored: %v", b, err)
			}
		}
		_ = p.UnmarshalJSON(b)
	})
}
