package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

type pair struct{ A, B string }

var both = []Setting[pair]{
	{Key: "PSW_HA_A", Flag: "a", Set: func(p *pair, v string) error { p.A = v; return nil }},
	{Key: "PSW_HA_B", Set: func(p *pair, v string) error {
		if v == "bad" {
			return errors.New("that is bad")
		}
		p.B = v
		return nil
	}},
}

func load(t *testing.T, file string, env map[string]string, flags map[string]string) (pair, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.env")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var p pair
	err := Load(both, Sources{File: path, Asked: true, Env: env, Flag: func(n string) (string, bool) { v, ok := flags[n]; return v, ok }}, &p)
	return p, err
}

func TestLaterSourcesWin(t *testing.T) {
	p, err := load(t, "PSW_HA_A=file\nPSW_HA_B=\"file\"\nGOGC=50\n", map[string]string{"PSW_HA_A": "env", "PSW_HA_B": "env"}, map[string]string{"a": "flag"})
	if err != nil || p != (pair{"flag", "env"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestEveryFaultIsNamedWithItsPlace(t *testing.T) {
	_, err := load(t, "PSW_HA_C=1\nrubbish\nPSW_HA_B=bad\nexport PSW_HA_A=1\nPSW_HA_A=\"open", map[string]string{"PSW_HA_B": "bad"}, nil)
	if ha.KindOf(err) != ha.Invalid {
		t.Fatalf("err = %v; want Invalid", err)
	}
	for _, want := range []string{
		".env:1: there is no PSW_HA_C: want one of PSW_HA_A, PSW_HA_B", ".env:2: this is no assignment", ".env:3: that is bad",
		".env:4: this is no shell script: want PSW_HA_A=…", ".env:5: the closing quote is missing", "PSW_HA_B in the environment: that is bad",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "rubbish") {
		t.Error("a line that is no assignment is repeated; it may be half a secret")
	}
}

func TestAFileWeLookForByOurselvesMayBeMissing(t *testing.T) {
	var p pair
	none := func(string) (string, bool) { return "", false }
	if err := Load(both, Sources{File: "/nonexistent", Flag: none}, &p); err != nil {
		t.Error(err)
	}
	if err := Load(both, Sources{File: "/nonexistent", Asked: true, Flag: none}, &p); ha.KindOf(err) != ha.Invalid {
		t.Errorf("err = %v; want Invalid", err)
	}
}

func TestFilesAreReadAsSystemdReadsThem(t *testing.T) {
	got := parse("A=1\n; no\n  # no\n\nB = two words \nC=\"a \\\"b\\\" c\"\nD='$x \\'\nE=one \\\n  two\nF=\nG=\"a\" b\n1A=x")
	want := []line{
		{number: 1, key: "A", value: "1"},
		{number: 5, key: "B", value: "two words"},
		{number: 6, key: "C", value: `a "b" c`},
		{number: 7, key: "D", value: `$x \`},
		{number: 8, key: "E", value: "one two"},
		{number: 10, key: "F", value: ""},
		{number: 11, key: "G", err: errors.New("there is something after the closing quote")},
		{number: 12, err: errors.New(`"1A" is no key: want letters, digits and _`)},
	}
	text := func(e error) string {
		if e == nil {
			return ""
		}
		return e.Error()
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{}), cmp.Comparer(func(a, b error) bool { return text(a) == text(b) })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWords(t *testing.T) {
	if got := Words(" a, b\tc,,d "); strings.Join(got, "|") != "a|b|c|d" {
		t.Errorf("%q", got)
	}
}
