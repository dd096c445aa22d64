package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A screen is a block of lines at the foot of a terminal that is drawn again in place,
// below ordinary lines that stay and scroll away. It owns the cursor from the first Draw
// until Close, which must be called on every way out.
type screen struct {
	out io.Writer
	// size asks the terminal how large it is now: it may be resized at any time.
	size func() (columns, rows int)

	block []string // what stands there now, as it was written
	live  bool
}

const (
	escHide = "\x1b[?25l"
	escShow = "\x1b[?25h"
	// escUp goes up one line and clears it. Clearing from the cursor to the end of the
	// screen would be shorter, but some terminals (tmux) then push a block that fills the
	// screen into their history, where every redraw leaves a copy behind.
	escUp = "\x1b[A\x1b[2K"
)

// newScreen makes a screen of a terminal.
func newScreen(f *os.File) *screen {
	return &screen{out: f, size: func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			return 80, 24
		}
		return columns, rows
	}}
}

// Draw replaces the block.
func (s *screen) Draw(block []string) {
	var b strings.Builder
	if !s.live {
		b.WriteString(escHide)
		s.live = true
	}
	s.erase(&b)
	s.write(&b, block)
	fmt.Fprint(s.out, b.String())
}

// Print writes lines that stay, above the block.
func (s *screen) Print(lines ...string) {
	var b strings.Builder
	block := s.block
	s.erase(&b)
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	s.write(&b, block)
	fmt.Fprint(s.out, b.String())
}

// Close removes the block and gives the cursor back. It may be called twice.
func (s *screen) Close() {
	if !s.live {
		return
	}
	var b strings.Builder
	s.erase(&b)
	b.WriteString(escShow)
	fmt.Fprint(s.out, b.String())
	s.live = false
}

// erase clears the block and puts the cursor where it began. A terminal that
// became narrower since has wrapped the block's lines: each then takes several rows.
func (s *screen) erase(b *strings.Builder) {
	columns, _ := s.size()
	rows := 0
	for _, l := range s.block {
		rows += max(1, (width(l)+columns-1)/columns)
	}
	b.WriteString("\r" + strings.Repeat(escUp, rows))
	s.block = nil
}

// write writes a block cut to the terminal: a line may not wrap, and the block may not
// be higher than the screen, or its head could not be reached again.
func (s *screen) write(b *strings.Builder, block []string) {
	columns, rows := s.size()
	if most := max(1, rows-1); len(block) > most {
		block = append(block[:most-1:most-1], "…")
	}
	s.block = make([]string, len(block))
	for k, l := range block {
		s.block[k] = clip(l, max(1, columns-1))
		b.WriteString(s.block[k] + "\r\n")
	}
}
