package pve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// answerMax bounds one answer. A cluster of 10,000 guests answers 5 MB.
	answerMax = 64 << 20
	// errorBodyMax bounds what is read of a refusal.
	errorBodyMax = 64 << 10
	// readAttemptsMax is how often a read is tried in all (more if there are more nodes).
	readAttemptsMax = 3
	// retryPause is waited before a node is asked for the second time; it doubles.
	retryPause = 100 * time.Millisecond
)

// transport is the http.RoundTripper under go-proxmox. It is where the library's idea of
// success is corrected: whatever is not a 2xx answer in Proxmox's form comes out as an
// *APIError or a *TransportError, which net/http hands on as an error of the call.
//
// It also chooses the node: the one that answered last, then the others in turn. A read
// is repeated after a failure of the way to Proxmox; a changing call is sent to another
// node only if the first could not even be connected to.
type transport struct {
	reads, writes             http.RoundTripper
	endpoints                 []*url.URL
	readTimeout, writeTimeout time.Duration
	secret                    string
	log                       *slog.Logger
	// current is the index of the endpoint to ask first.
	current atomic.Int32
}

type endpointKey struct{}

// onEndpoint makes the reads of ctx ask this endpoint only.
func onEndpoint(ctx context.Context, k int) context.Context {
	return context.WithValue(ctx, endpointKey{}, k)
}

// order lists the endpoints, the one to ask first in front.
func (t *transport) order() []int {
	n, first := len(t.endpoints), int(t.current.Load())
	out := make([]int, n)
	for k := range out {
		out[k] = (first + k) % n
	}
	return out
}

// prefer makes k the endpoint to ask first.
func (t *transport) prefer(k int) {
	if old := t.current.Swap(int32(k)); int(old) != k {
		t.log.Warn("proxmox api: asking another node", "from", t.endpoints[old].Host, "to", t.endpoints[k].Host)
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, notDoneError{err}
		}
	}
	if req.Method == http.MethodGet {
		return t.read(req)
	}
	return t.write(req, body)
}

// read tries the endpoints in turn until one answers.
func (t *transport) read(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	candidates := t.order()
	pinned := false
	if k, ok := ctx.Value(endpointKey{}).(int); ok {
		candidates, pinned = []int{k}, true
	}
	tries := max(readAttemptsMax, len(candidates))
	pause := retryPause
	var last error
	for attempt := 0; attempt < tries && len(candidates) > 0; attempt++ {
		if attempt >= len(t.endpoints) || pinned && attempt > 0 {
			if err := sleep(ctx, pause); err != nil {
				return nil, &TransportError{Endpoint: t.endpoints[candidates[0]].Host, Err: errors.Join(err, last)}
			}
			pause *= 2
		}
		k := candidates[0]
		res, err := t.once(t.reads, req, nil, k, t.readTimeout)
		if err == nil {
			if !pinned {
				t.prefer(k)
			}
			return res, nil
		}
		last = err
		if ctx.Err() != nil || !transient(err) {
			return nil, err
		}
		candidates = candidates[1:]
		if !t.hopeless(err, pinned) {
			candidates = append(candidates, k)
		}
	}
	return nil, last
}

// hopeless: asking this node once more would only cost time. It let a whole attempt pass,
// or it does not take connections and whoever pinned the read can go to another node.
func (t *transport) hopeless(err error, pinned bool) bool {
	var tr *TransportError
	if !errors.As(err, &tr) {
		return false
	}
	return tr.Timeout || pinned && !tr.Sent && len(t.endpoints) > 1
}

// write sends a changing call once. Only a node that could not be connected to is passed
// over for the next.
func (t *transport) write(req *http.Request, body []byte) (*http.Response, error) {
	var last error
	for _, k := range t.order() {
		res, err := t.once(t.writes, req, body, k, t.writeTimeout)
		if err == nil {
			t.prefer(k)
			return res, nil
		}
		last = err
		var tr *TransportError
		if !errors.As(err, &tr) || tr.Sent || req.Context().Err() != nil {
			return nil, err
		}
	}
	return nil, last
}

// transient: not the question but the way to an answer is at fault.
func transient(err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		return api.gateway()
	}
	var tr *TransportError
	return errors.As(err, &tr)
}

// once makes one attempt on one endpoint and reads the whole answer.
func (t *transport) once(rt http.RoundTripper, req *http.Request, body []byte, k int, limit time.Duration) (*http.Response, error) {
	endpoint := t.endpoints[k]
	ctx, cancel := context.WithTimeout(req.Context(), limit)
	defer cancel()
	out := req.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = endpoint.Scheme, endpoint.Host, ""
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	if len(body) > 0 {
		// Content-Length is set: pveproxy refuses chunked requests.
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	begun := time.Now()
	res, err := rt.RoundTrip(out)
	var data []byte
	if err == nil {
		data, err = readAll(res)
	}
	if err != nil {
		err = t.failure(req.Context(), ctx, endpoint, limit, err)
		t.log.Debug("proxmox api", "method", req.Method, "path", req.URL.Path, "endpoint", endpoint.Host, "error", err)
		return nil, err
	}
	t.log.Debug("proxmox api", "method", req.Method, "path", req.URL.Path, "endpoint", endpoint.Host,
		"status", res.StatusCode, "bytes", len(data), "took", time.Since(begun))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, t.refusal(endpoint, res, data)
	}
	if first := bytes.TrimSpace(data); len(first) == 0 || first[0] != '{' {
		return nil, &TransportError{Endpoint: endpoint.Host, Sent: true,
			Err: fmt.Errorf("status %d, but not Proxmox's: %q", res.StatusCode, redact(excerpt(first), t.secret))}
	}
	res.Body = io.NopCloser(bytes.NewReader(data))
	res.ContentLength = int64(len(data))
	res.Request = req
	return res, nil
}

// readAll reads the body of an answer up to its limit and closes it.
func readAll(res *http.Response) ([]byte, error) {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// A refusal stands whether or not its text comes through whole.
		data, _ := io.ReadAll(io.LimitReader(res.Body, errorBodyMax))
		return data, nil
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, answerMax+1))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if len(data) > answerMax {
		return nil, fmt.Errorf("the answer is larger than %d MiB", answerMax>>20)
	}
	return data, nil
}

// failure makes the typed error of an attempt without an answer.
func (t *transport) failure(parent, attempt context.Context, endpoint *url.URL, limit time.Duration, err error) error {
	out := &TransportError{Endpoint: endpoint.Host, Sent: !neverSent(err), Err: err}
	switch {
	case parent.Err() != nil:
		out.Err = context.Cause(parent)
	case attempt.Err() != nil:
		// Not the caller's deadline: it must not look like context.DeadlineExceeded.
		out.Timeout = true
		out.Err = fmt.Errorf("nothing within %s", limit)
	default:
		if text := err.Error(); redact(text, t.secret) != text {
			out.Err = errors.New(redact(text, t.secret))
		}
	}
	return out
}

// refusal makes the typed error of an answer that is no success.
func (t *transport) refusal(endpoint *url.URL, res *http.Response, data []byte) error {
	e := &APIError{Status: res.StatusCode, Endpoint: endpoint.Host}
	if _, phrase, ok := bytes.Cut([]byte(res.Status), []byte(" ")); ok {
		e.Reason = redact(string(phrase), t.secret)
	}
	var body struct {
		Message *String                    `json:"message"`
		Errors  map[string]json.RawMessage `json:"errors"`
		Data    json.RawMessage            `json:"data"`
	}
	if json.Unmarshal(data, &body) != nil {
		return e
	}
	e.fromProxmox = body.Message != nil || body.Errors != nil || body.Data != nil
	if body.Message != nil {
		e.Message = redact(string(*body.Message), t.secret)
	}
	for name, raw := range body.Errors {
		text, err := scalar(raw)
		if err != nil {
			text = excerpt(raw)
		}
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[name] = redact(text, t.secret)
	}
	return e
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
