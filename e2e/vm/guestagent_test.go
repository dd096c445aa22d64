package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// guest answers as qemu-ga does. First it says the rest of an answer to somebody else, as
// after a connection that was cut.
func guest(t *testing.T, answer func(command string, args json.RawMessage) string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "n\": {\"exited\": false}}\n")
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					var c struct {
						Execute   string
						Arguments json.RawMessage
					}
					if json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "\xff")), &c) != nil {
						return
					}
					if c.Execute == "guest-sync-delimited" {
						var id struct{ ID int }
						_ = json.Unmarshal(c.Arguments, &id)
						fmt.Fprintf(conn, "\xff{\"return\": %d}\n", id.ID)
						continue
					}
					fmt.Fprintln(conn, answer(c.Execute, c.Arguments))
				}
			}()
		}
	}()
	return socket
}

// A command's answer is its own, whatever was left on the line, and its exit code is told.
func TestAGuestsAnswerIsItsOwn(t *testing.T) {
	asked := 0
	g := guestAgent{socket: guest(t, func(command string, args json.RawMessage) string {
		if command == "guest-exec" {
			if !strings.Contains(string(args), "echo hello") {
				t.Errorf("it was told to run %s", args)
			}
			return `{"return": {"pid": 7}}`
		}
		if asked++; asked == 1 {
			return `{"return": {"exited": false}}`
		}
		return `{"return": {"exited": true, "exitcode": 3, "out-data": "aGVsbG8K"}}`
	})}
	out, code, err := g.exec(t.Context(), "echo hello; exit 3")
	if err != nil || out != "hello\n" || code != 3 {
		t.Errorf("out %q, exit %d, %v", out, code, err)
	}
}

// A guest that refuses says why, and is asked anew on a fresh connection afterwards.
func TestAGuestThatRefuses(t *testing.T) {
	refuse := true
	g := guestAgent{socket: guest(t, func(command string, _ json.RawMessage) string {
		switch {
		case refuse:
			return `{"error": {"class": "GenericError", "desc": "the command is disabled"}}`
		case command == "guest-exec":
			return `{"return": {"pid": 1}}`
		}
		return `{"return": {"exited": true, "signal": 9}}`
	})}
	if _, _, err := g.exec(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "the command is disabled") {
		t.Errorf("it says %v", err)
	}
	refuse = false
	if _, code, err := g.exec(t.Context(), "true"); err != nil || code != 137 {
		t.Errorf("exit %d, %v", code, err)
	}
}
