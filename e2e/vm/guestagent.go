package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// guestAgent runs commands in a machine through a serial port, whatever its networks do.
type guestAgent struct {
	socket string
	mu     sync.Mutex
	conn   net.Conn
	lines  *bufio.Reader
	synced int
}

// answerMax is how long one question may take: the machine may be busy booting, frozen or
// being reset.
const answerMax = 30 * time.Second

// exec runs a shell script and returns what it printed and its exit code.
func (g *guestAgent) exec(ctx context.Context, script string) (out string, code int, err error) {
	var started struct {
		PID int `json:"pid"`
	}
	err = g.ask(ctx, "guest-exec", map[string]any{"path": "/bin/sh", "arg": []string{"-c", "exec 2>&1; export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C; " + script}, "capture-output": true}, &started)
	if err != nil {
		return "", 0, err
	}
	pause := 20 * time.Millisecond
	for {
		var s struct {
			Exited   bool   `json:"exited"`
			ExitCode int    `json:"exitcode"`
			Signal   int    `json:"signal"`
			Out      []byte `json:"out-data"`
		}
		if err := g.ask(ctx, "guest-exec-status", map[string]any{"pid": started.PID}, &s); err != nil {
			return "", 0, err
		}
		if s.Exited {
			if s.Signal != 0 {
				s.ExitCode = 128 + s.Signal
			}
			return string(s.Out), s.ExitCode, nil
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return "", 0, fmt.Errorf("%.60q: %w", script, ctx.Err())
		case <-t.C:
		}
		pause = min(pause*3/2, 300*time.Millisecond)
	}
}

// ask asks the guest agent one thing.
func (g *guestAgent) ask(ctx context.Context, command string, args map[string]any, into any) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.askLocked(ctx, command, args, into)
	if err != nil && g.conn != nil {
		// What is said from now on may be the late answer to this question.
		_ = g.conn.Close()
		g.conn = nil
	}
	return err
}

func (g *guestAgent) askLocked(ctx context.Context, command string, args map[string]any, into any) error {
	if err := g.connect(ctx); err != nil {
		return fmt.Errorf("the guest agent does not answer: %w", err)
	}
	if err := g.conn.SetDeadline(deadline(ctx)); err != nil {
		return err
	}
	if err := g.send(command, args); err != nil {
		return err
	}
	line, err := g.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("%s: %.80q: %w", command, line, err)
	}
	if r.Error != nil {
		return fmt.Errorf("%s: %s", command, r.Error.Desc)
	}
	return json.Unmarshal(r.Return, into)
}

func (g *guestAgent) send(command string, args map[string]any) error {
	line, err := json.Marshal(map[string]any{"execute": command, "arguments": args})
	if err != nil {
		return err
	}
	_, err = g.conn.Write(append(line, '\n'))
	return err
}

// connect connects and finds the beginning of an answer: what an earlier connection left
// behind ends with the byte 0xff, which JSON never has.
func (g *guestAgent) connect(ctx context.Context) error {
	if g.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", g.socket)
	if err != nil {
		return err
	}
	g.conn, g.lines = conn, bufio.NewReader(conn)
	g.synced++
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{0xff}); err != nil {
		return err
	}
	if err := g.send("guest-sync-delimited", map[string]any{"id": g.synced}); err != nil {
		return err
	}
	for {
		if _, err := g.lines.ReadBytes(0xff); err != nil {
			return err
		}
		line, err := g.lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var r struct{ Return int }
		if json.Unmarshal(line, &r) == nil && r.Return == g.synced {
			return nil
		}
	}
}

func deadline(ctx context.Context) time.Time {
	limit := time.Now().Add(answerMax)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}
