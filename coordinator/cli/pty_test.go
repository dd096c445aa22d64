package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal of the given size: what is written to tty is read from
// keyboard's other side, as with a real one.
func openPTY(t *testing.T, columns, rows int) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	return master, tty
}

// A session is somebody at a terminal: it types an answer when it has read a question.
type session struct {
	mu  sync.Mutex
	all bytes.Buffer
	got chan struct{} // closed when everything was read
}

func newSession(master *os.File, question string, answer func()) *session {
	s := &session{got: make(chan struct{})}
	go func() {
		defer close(s.got)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.all.Write(buf[:n])
			asked := strings.Contains(s.all.String(), question)
			s.mu.Unlock()
			if asked && answer != nil {
				answer()
				answer = nil
			}
			if err != nil {
				return // EIO: nobody has the terminal open any more
			}
		}
	}()
	return s
}

// onTerminal runs psw with all three streams on a terminal, against a coordinator on the
// loopback network, and returns what the terminal received. When the question has been
// read, answer is called once.
func onTerminal(t *testing.T, w *world, question string, answer func(keyboard io.Writer, interrupt func()), args ...string) (received string, code int) {
	t.Helper()
	dir := newProject(t, projectFile)
	home := filepath.Join(dir, ".psw", "ha")
	certificates(t, home)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := serverTLS(t, dir, w)
	go server.Serve(listen)
	defer server.Stop()

	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	master, tty := openPTY(t, 110, 30)
	s := newSession(master, question, func() { answer(master, interrupt) })
	code = Main(ctx, append([]string{"-C", dir, "--coordinator", listen.Addr().String()}, args...), tty, tty, tty, "TERM=xterm")
	io.WriteString(master, "\r") // a read that Ctrl-C left behind holds the terminal open
	tty.Close()
	<-s.got
	return strings.ReplaceAll(strings.ReplaceAll(s.all.String(), dir, "~/home"), listen.Addr().String(), "node2:7443"), code
}

const prompt = "Proceed? [y/N] "

func typed(text string) func(io.Writer, func()) {
	return func(keyboard io.Writer, _ func()) { io.WriteString(keyboard, text) }
}

// On a terminal psw asks, draws a live table while it follows, and leaves behind the
// lines that tell what happened, no table, and a cursor.
func TestDrainOnATerminal(t *testing.T) {
	w := &world{preview: drainPreview(), story: drainStory(), pace: 50 * time.Millisecond}
	received, code := onTerminal(t, w, prompt, typed("y\r"), "maintenance", "start", "node1")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, received)
	}
	if len(w.asked) != 1 {
		t.Errorf("asked %q", w.asked)
	}
	for _, part := range []string{"Draining node1", "Ctrl-C stops following, not the drain.", escUp, escHide, escBold} {
		if !strings.Contains(received, part) {
			t.Errorf("the live table never showed %q", part)
		}
	}
	tt := &terminal{columns: 110, rows: 1000}
	tt.Write([]byte(received))
	shown := tt.shows()
	if tt.hidden {
		t.Error("the cursor was not given back")
	}
	if strings.Contains(shown, "Draining node1") || strings.Contains(shown, "STATE") {
		t.Errorf("the table was left behind:\n%s", shown)
	}
	for _, part := range []string{"Drain of node1: 2 guests", "Proceed? [y/N] y", "vm:101 media: is on node2, moved live, paused 84ms",
		"ct:100 core: is on node3, restarted, down 12s", "node1 is safe to power off.", "maintenance end node1"} {
		if strings.Count(shown, part) != 1 {
			t.Errorf("%q stands there %d times:\n%s", part, strings.Count(shown, part), shown)
		}
	}
}

// No is no, whatever is said, and Ctrl-C at the question begins nothing.
func TestNoOnATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(io.Writer, func())
		code   int
	}{
		"n":      {typed("n\r"), exitFailed},
		"return": {typed("\r"), exitFailed},
		"maybe":  {typed("maybe\r"), exitFailed},
		"end":    {typed("\x04"), exitFailed}, // Ctrl-D
		"ctrl-c": {func(_ io.Writer, interrupt func()) { interrupt() }, exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{preview: drainPreview(), story: drainStory(), pace: time.Second}
			received, code := onTerminal(t, w, prompt, c.answer, "maintenance", "start", "node1")
			if code != c.code || len(w.asked) != 0 || !strings.Contains(received, "psw: nothing was done") {
				t.Errorf("exit %d, asked %q\n%s", code, w.asked, received)
			}
		})
	}
}

// Ctrl-C while following restores the terminal and says what goes on.
func TestCtrlCOnATerminal(t *testing.T) {
	w := &world{preview: drainPreview(), story: drainStory()[:3], pace: 20 * time.Millisecond}
	received, code := onTerminal(t, w, "moving live", func(_ io.Writer, interrupt func()) { interrupt() }, "maintenance", "start", "node1", "--yes")
	tt := &terminal{columns: 110, rows: 1000}
	tt.Write([]byte(received))
	if shown := tt.shows(); code != exitInterrupted || tt.hidden || !strings.Contains(shown, "stopped following; the drain of node1 goes on") || strings.Contains(shown, "STATE") {
		t.Errorf("exit %d, cursor hidden %t\n%s", code, tt.hidden, shown)
	}
}

// A dumb terminal, NO_COLOR and --no-color get no escape sequences they did not ask for.
func TestPlainTerminals(t *testing.T) {
	for _, c := range []struct {
		environ []string
		args    []string
	}{{[]string{"TERM=dumb"}, nil}, {[]string{"TERM=xterm", "NO_COLOR=1"}, nil}, {[]string{"TERM=xterm"}, []string{"--no-color"}}} {
		dir := newProject(t, projectFile)
		master, tty := openPTY(t, 80, 24)
		s := newSession(master, "\x00", nil)
		code := Main(t.Context(), append([]string{"-C", dir, "project", "validate"}, c.args...), tty, tty, tty, c.environ...)
		tty.Close()
		<-s.got
		if code != exitDone || strings.Contains(s.all.String(), "\x1b") || s.all.Len() == 0 {
			t.Errorf("%v %v: exit %d, %q", c.environ, c.args, code, s.all.String())
		}
	}
}
