package pvesim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// API returns the REST API of a node, below /api2/json, as an http.Handler for a server
// of the caller's. Where Proxmox says more in the reason phrase than HTTP does ("595 No
// route to host"), the handler takes over the connection, so the server must speak
// HTTP/1.1 only (http.Server.TLSNextProto set to an empty map, or NextProtos http/1.1).
// A node that is down does not answer: after a while the connection ends.
func (c *Cluster) API(name string) http.Handler {
	c.lock()
	n := c.mustNode(name)
	c.unlock()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		resp, err := c.exchange(req.Context(), n, req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		resp.write(w)
	})
}

// write sends an answer.
func (r response) write(w http.ResponseWriter) {
	usual := r.reason == "" || r.reason == http.StatusText(r.status)
	if h, ok := w.(http.Hijacker); ok && !usual {
		conn, buf, err := h.Hijack()
		if err == nil {
			defer conn.Close()
			r.writeRaw(buf)
			_ = buf.Flush() // the peer may have gone; there is nobody to tell
			return
		}
	}
	r.header(w.Header())
	if r.status >= 400 {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // as above
}

func (r response) header(h http.Header) {
	h.Set("Server", "pve-api-daemon/3.0")
	h.Set("Cache-Control", "max-age=0")
	h.Set("Pragma", "no-cache")
	if r.body != nil {
		h.Set("Content-Type", "application/json;charset=UTF-8")
	}
}

func (r response) statusLine() string {
	reason := r.reason
	if reason == "" {
		reason = http.StatusText(r.status)
	}
	return fmt.Sprintf("%d %s", r.status, reason)
}

func (r response) writeRaw(w io.Writer) {
	h := http.Header{}
	r.header(h)
	h.Set("Connection", "close")
	h.Set("Content-Length", fmt.Sprint(len(r.body)))
	fmt.Fprintf(w, "HTTP/1.1 %s\r\n", r.statusLine())
	_ = h.Write(w)
	fmt.Fprintf(w, "\r\n%s", r.body)
}

// Transport returns a RoundTripper that reaches the nodes' APIs without a network: the
// host of the URL is a node's name, its name with a domain, or its address; the port does
// not matter. It works in a testing/synctest bubble.
func (c *Cluster) Transport() http.RoundTripper { return transport{c} }

type transport struct{ c *Cluster }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	n := t.c.host(req.URL)
	if n == nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true}}
	}
	resp, err := t.c.exchange(req.Context(), n, req)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	resp.header(h)
	return &http.Response{
		Status: resp.statusLine(), StatusCode: resp.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(resp.body)), ContentLength: int64(len(resp.body)), Request: req,
		Close: resp.status >= 400,
	}, nil
}

func (c *Cluster) host(u *url.URL) *node {
	c.lock()
	defer c.unlock()
	return c.machine(u.Hostname())
}

// exchange is one request and its answer, with the time it takes. An error means that no
// answer came: what was asked may or may not have been done.
func (c *Cluster) exchange(ctx context.Context, n *node, req *http.Request) (response, error) {
	body, err := readBody(req.Body)
	if err != nil {
		return response{}, err
	}
	c.lock()
	fault := c.takeAnswerFault(req)
	c.unlock()
	if err := wait(ctx, fault.delay); err != nil {
		return response{}, err
	}
	c.lock()
	boot, up, away := n.boot, n.up, n.up && (n.stopped || c.now() < n.apiBack)
	var resp response
	switch {
	case !up, away:
	case fault.status != 0:
		resp = response{status: fault.status, reason: fault.reason}
	default:
		resp = c.answer(n, req.Method, req.URL, req.Header, body)
	}
	c.unlock()
	if !up {
		if err := wait(ctx, c.clock.real(deadDelay)); err != nil {
			return response{}, err
		}
		return response{}, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}
	}
	if away {
		return response{}, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if err := wait(ctx, c.clock.real(resp.delay)); err != nil {
		return response{}, err
	}
	c.lock()
	defer c.unlock()
	if fault.lose || !n.up || n.boot != boot {
		return response{}, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return resp, nil
}

// wait lets time pass, or returns early when nobody waits for the answer any more.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
