package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// monitor is a connection to a QEMU's own control socket (QMP).
type monitor struct {
	conn    net.Conn
	asking  sync.Mutex // one command at a time
	answers chan reply

	mu     sync.Mutex
	events []event
}

type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
}

// event is something QEMU told of its own accord.
type event struct {
	name string
	at   time.Time
}

// dialMonitor connects as soon as QEMU listens.
func dialMonitor(ctx context.Context, socket string, ended <-chan struct{}) (*monitor, error) {
	var conn net.Conn
	err := eventually(ctx, time.Minute, "QEMU's monitor answers", func(ctx context.Context) (err error) {
		select {
		case <-ended:
			return errors.New("QEMU has ended")
		default:
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", socket)
		return err
	})
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, answers: make(chan reply, 1)}
	go m.read()
	return m, m.run(ctx, "qmp_capabilities", nil)
}

func (m *monitor) close() { _ = m.conn.Close() }

func (m *monitor) read() {
	defer close(m.answers)
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		switch {
		case r.Event != "":
			m.mu.Lock()
			m.events = append(m.events, event{r.Event, time.Now()})
			m.mu.Unlock()
		case r.Return != nil || r.Error != nil:
			m.answers <- r
		}
	}
}

// ask runs a command and returns its answer.
func (m *monitor) ask(ctx context.Context, command string, args map[string]any) (json.RawMessage, error) {
	m.asking.Lock()
	defer m.asking.Unlock()
	line, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return nil, err
	}
	if _, err := m.conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	select {
	case r, ok := <-m.answers:
		if !ok {
			return nil, fmt.Errorf("%s: QEMU has ended", command)
		}
		if r.Error != nil {
			return nil, fmt.Errorf("%s: %s", command, r.Error.Desc)
		}
		return r.Return, nil
	case <-ctx.Done():
		_ = m.conn.Close() // the late answer must not be taken for another's
		return nil, fmt.Errorf("%s: %w", command, ctx.Err())
	}
}

func (m *monitor) run(ctx context.Context, command string, args map[string]any) error {
	_, err := m.ask(ctx, command, args)
	return err
}

// until asks again and again for a status.
func (m *monitor) until(ctx context.Context, query string, reached func(status string) (bool, error)) error {
	var fatal error
	err := eventually(ctx, 2*time.Minute, query, func(ctx context.Context) error {
		raw, err := m.ask(ctx, query, nil)
		if err != nil {
			return err
		}
		var s struct{ Status string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		ok, err := reached(s.Status)
		if err != nil {
			fatal = err
			return nil
		}
		if !ok {
			return fmt.Errorf("it is %s", s.Status)
		}
		return nil
	})
	return errors.Join(err, fatal)
}

// told returns when QEMU first told of an event after a time.
func (m *monitor) told(name string, after time.Time) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.name == name && e.at.After(after) {
			return e.at, true
		}
	}
	return time.Time{}, false
}
