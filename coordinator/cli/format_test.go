package cli

import (
	"slices"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "-", 512: "0.5 KiB", 512 * mib: "512 MiB", 8 * gib: "8 GiB", 62*gib + 820*mib: "62.8 GiB", 3 * tib: "3 TiB", -2 * gib: "-2 GiB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes: %q, want %q", bytes, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {40 * time.Microsecond, "1ms"}, {84 * time.Millisecond, "84ms"}, {1400 * time.Millisecond, "1.4s"}, {9 * time.Second, "9s"},
		{12400 * time.Millisecond, "12s"}, {72 * time.Second, "1m 12s"}, {30 * time.Minute, "30m"}, {2*time.Hour + 5*time.Minute + 40*time.Second, "2h 5m"},
		{59*time.Second + 600*time.Millisecond, "1m"}, {76 * time.Hour, "3d 4h"}, {-90 * time.Second, "-1m 30s"},
	} {
		if got := span(c.d); got != c.want {
			t.Errorf("%s: %q, want %q", c.d, got, c.want)
		}
	}
	if got := age(-1); got != "never" {
		t.Errorf("a report that never came: %q", got)
	}
}

func TestShare(t *testing.T) {
	if got := share(2, 3); got != "67%" {
		t.Errorf("two of three: %q", got)
	}
	if got := share(1, 0); got != "" {
		t.Errorf("a part of nothing: %q", got)
	}
}

func TestTableAlignsColouredCells(t *testing.T) {
	tab := table{indent: " "}
	tab.row("\x1b[32ma\x1b[0m", "bb", "c")
	tab.row("äöü", "d")
	want := []string{" \x1b[32ma\x1b[0m    bb  c", " äöü  d"}
	if got := tab.lines(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	got := wrap("a switch reboot longer than a-word-that-is-too-long-for-any-line ends it", 20)
	want := []string{"a switch reboot", "longer than", "a-word-that-is-too-long-for-any-line", "ends it"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"/srv/psw": "/srv/psw", "my project": "'my project'", "it's": `'it'\''s'`} {
		if got := shellWord(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}
