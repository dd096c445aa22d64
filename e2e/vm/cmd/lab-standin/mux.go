package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	device = "/dev/watchdog0"
	socket = "/run/watchdog-mux.sock"
	// active exists while a client holds the watchdog, as on Proxmox.
	active = "/run/watchdog-mux.active"
	// deviceTimeout is what Proxmox sets as well.
	deviceTimeout = 10
	// silenceMax is how long a client may be silent. Proxmox allows 60 s; a story need not
	// take that long to show the same, but a busy host must not look like a lost quorum.
	silenceMax = 20 * time.Second
	// magicClose is what a client sends before it goes on purpose.
	magicClose = 'V'
)

// multiplex feeds the watchdog every second, until a client has been silent for too long
// or has gone without saying so. Then it never feeds again, and the node is reset.
func multiplex(ctx context.Context) error {
	dog, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	timeout := int32(deviceTimeout)
	const setTimeout = 0xc0045706 // WDIOC_SETTIMEOUT
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dog.Fd(), setTimeout, uintptr(unsafe.Pointer(&timeout))); errno != 0 {
		return fmt.Errorf("set the timeout of %s: %w", device, errno)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	var c clients
	go c.serve(l)
	feed := time.NewTicker(time.Second)
	defer feed.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = l.Close()
			if c.held() {
				return errors.New("stopped while a client holds the watchdog: this node will be reset")
			}
			_, err := dog.Write([]byte{magicClose})
			return errors.Join(err, dog.Close())
		case <-feed.C:
		}
		if c.silent() {
			fmt.Fprintln(os.Stderr, "a client is silent: the watchdog is no longer fed")
			<-make(chan struct{}) // holding the device open, until it bites
		}
		if _, err := dog.Write([]byte{0}); err != nil {
			return err
		}
	}
}

// clients are the connections, and when each was last heard of.
type clients struct {
	mu    sync.Mutex
	heard map[net.Conn]time.Time
	lost  bool
}

func (c *clients) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go c.listen(conn)
	}
}

func (c *clients) listen(conn net.Conn) {
	c.mu.Lock()
	if c.heard == nil {
		c.heard = map[net.Conn]time.Time{}
	}
	c.heard[conn] = time.Now()
	c.mu.Unlock()
	_ = os.Mkdir(active, 0o755) // it may be there already
	b := make([]byte, 1)
	for {
		if _, err := conn.Read(b); err != nil {
			break
		}
		c.mu.Lock()
		c.heard[conn] = time.Now()
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.heard, conn)
	c.lost = c.lost || b[0] != magicClose
	if len(c.heard) == 0 {
		_ = os.Remove(active)
	}
}

// silent reports whether a client was lost or has not been heard of for too long.
func (c *clients) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.heard {
		if time.Since(at) > silenceMax {
			return true
		}
	}
	return c.lost
}

func (c *clients) held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.heard) > 0
}
