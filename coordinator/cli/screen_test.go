package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A terminal shows what a screen makes of it: it knows the few controls a screen uses,
// wraps long lines, and scrolls at its foot.
type terminal struct {
	columns, rows int
	lines         []string // the whole history, the last rows of it visible
	row, column   int      // the cursor, as an index into lines
	hidden        bool
}

func (tt *terminal) size() (int, int) { return tt.columns, tt.rows }

func (tt *terminal) Write(b []byte) (int, error) {
	for s := string(b); s != ""; {
		if n := escape(s); n > 0 {
			tt.control(s[:n])
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		switch r {
		case '\r':
			tt.column = 0
		case '\n':
			tt.row++
		default:
			tt.put(r)
		}
		s = s[n:]
	}
	return len(b), nil
}

func (tt *terminal) put(r rune) {
	if tt.column == tt.columns {
		tt.row, tt.column = tt.row+1, 0
	}
	for len(tt.lines) <= tt.row {
		tt.lines = append(tt.lines, "")
	}
	line := []rune(tt.lines[tt.row])
	for len(line) <= tt.column {
		line = append(line, ' ')
	}
	line[tt.column] = r
	tt.lines[tt.row] = string(line)
	tt.column++
}

func (tt *terminal) control(seq string) {
	switch {
	case seq == "\x1b[A": // the cursor cannot leave the visible part
		tt.row = max(0, tt.row-1, len(tt.lines)-tt.rows+1)
	case seq == "\x1b[2K":
		if tt.row < len(tt.lines) {
			tt.lines[tt.row] = ""
		}
	case seq == escHide || seq == escShow:
		tt.hidden = seq == escHide
	case strings.HasSuffix(seq, "m"):
	default:
		panic(fmt.Sprintf("the screen sent %q", seq))
	}
}

// resize makes the terminal narrower or wider as real ones do: lines that no longer fit
// are wrapped, and the cursor stays on its text.
func (tt *terminal) resize(columns int) {
	var lines []string
	row := len(tt.lines)
	for k, l := range tt.lines {
		if k == tt.row {
			row = len(lines)
		}
		runes := []rune(l)
		for len(runes) > columns {
			lines = append(lines, string(runes[:columns]))
			runes = runes[columns:]
		}
		lines = append(lines, string(runes))
	}
	if tt.row >= len(tt.lines) {
		row = len(lines)
	}
	tt.lines, tt.row, tt.columns = lines, row, columns
}

// shows is what stands on the terminal, without the empty rest.
func (tt *terminal) shows() string {
	lines := slices.Clone(tt.lines)
	for k := range lines {
		lines[k] = strings.TrimRight(lines[k], " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func expect(t *testing.T, tt *terminal, when, want string) {
	t.Helper()
	if got := tt.shows(); got != want {
		t.Errorf("%s it shows\n%s\ninstead of\n%s", when, got, want)
	}
}

func TestScreenRedrawsInPlace(t *testing.T) {
	tt := &terminal{columns: 40, rows: 10}
	s := &screen{out: tt, size: tt.size}
	tt.Write([]byte("$ psw\r\n"))
	s.Draw([]string{"Draining node1  1s", "  vm:101  moving"})
	expect(t, tt, "after the first draw", "$ psw\nDraining node1  1s\n  vm:101  moving")
	s.Draw([]string{"Draining node1  2s"})
	expect(t, tt, "after a shorter block", "$ psw\nDraining node1  2s")
	s.Print("vm:101 is on node2", "vm:102 is on node3")
	expect(t, tt, "with lines that stay", "$ psw\nvm:101 is on node2\nvm:102 is on node3\nDraining node1  2s")
	s.Draw([]string{"Draining node1  3s", "  vm:103  moving"})
	if !tt.hidden {
		t.Error("the cursor is seen while the block is drawn")
	}
	s.Close()
	expect(t, tt, "after the end", "$ psw\nvm:101 is on node2\nvm:102 is on node3")
	if tt.hidden {
		t.Error("the cursor was not given back")
	}
}

// Made narrower, a terminal wraps what stands on it; made wider it does not unwrap here.
// Neither may leave pieces of an old block behind.
func TestScreenSurvivesResize(t *testing.T) {
	tt := &terminal{columns: 40, rows: 12}
	s := &screen{out: tt, size: tt.size}
	s.Print("a line that stays")
	block := []string{strings.Repeat("x", 60), "short", strings.Repeat("y", 38)}
	s.Draw(block)
	expect(t, tt, "at 40 columns", "a line that stays\n"+strings.Repeat("x", 38)+"…\nshort\n"+strings.Repeat("y", 38))
	tt.resize(20)
	s.Draw(block)
	expect(t, tt, "at 20 columns", "a line that stays\n"+strings.Repeat("x", 18)+"…\nshort\n"+strings.Repeat("y", 18)+"…")
	tt.resize(60)
	s.Draw(block)
	expect(t, tt, "at 60 columns", "a line that stays\n"+strings.Repeat("x", 58)+"…\nshort\n"+strings.Repeat("y", 38))
}

// A block that is higher than the terminal is cut, or its head would scroll away and
// every redraw would leave a copy behind.
func TestScreenCutsWhatIsTooHigh(t *testing.T) {
	tt := &terminal{columns: 40, rows: 5}
	s := &screen{out: tt, size: tt.size}
	var block []string
	for n := range 20 {
		block = append(block, fmt.Sprintf("guest %d", n))
	}
	for range 3 {
		s.Draw(block)
	}
	expect(t, tt, "after three draws", "guest 0\nguest 1\nguest 2\n…")
}

// Colours take no room: a coloured line is cut where a plain one is.
func TestClipKeepsColours(t *testing.T) {
	got := clip("\x1b[31mfailed\x1b[0m: no route to host", 10)
	if want := "\x1b[31mfailed\x1b[0m: n…"; got != want || width(got) != 10 {
		t.Errorf("got %q (%d wide), want %q", got, width(got), want)
	}
	if got := clip("fits", 4); got != "fits" {
		t.Errorf("got %q", got)
	}
}
