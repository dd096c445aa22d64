package metrics

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits on who asks for the page.
const (
	// requestSizeMax bounds what is read of a request. Prometheus sends some 300 bytes.
	requestSizeMax = 8 << 10
	// answerMax is how long one connection may last: Prometheus gives up after 10 s.
	answerMax = 15 * time.Second
	// askersMax are answered at the same time; the next waits for its turn.
	askersMax = 4
	// acceptPause is waited when no connection can be accepted, for want of descriptors.
	acceptPause = time.Second
)

// Serve answers GET /metrics on l with page, one request a connection, until ctx ends. Then l
// is closed, and whoever is still being answered is given up. A page that is nil does not exist
// yet.
//
// net/http's own server would do all this and HTTP/2 too. Linked into the agent it costs
// every node more than a megabyte, whether metrics are asked for or not, so only its
// parser of requests and its writer of answers are used (docs/decisions/0010, 0013).
func Serve(ctx context.Context, l net.Listener, page func() []byte, log *slog.Logger) {
	var answering sync.WaitGroup
	defer answering.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	free := make(chan struct{}, askersMax)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Warn("nobody can ask for metrics", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			_ = conn.Close()
			continue // l is closed, or is about to be
		}
		answering.Go(func() {
			defer func() { <-free }()
			defer func() { _ = conn.Close() }()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			if err := answer(conn, page); err != nil {
				log.Debug("metrics not delivered", "to", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// answer reads one request and answers it. Whatever the other end does, it ends in time.
func answer(conn net.Conn, page func() []byte) error {
	if err := conn.SetDeadline(time.Now().Add(answerMax)); err != nil {
		return err
	}
	req, err := http.ReadRequest(bufio.NewReaderSize(io.LimitReader(conn, requestSizeMax), 1<<10))
	if err != nil {
		return errors.Join(err, respond(conn, nil, http.StatusBadRequest, "not a request\n"))
	}
	switch {
	case req.URL.Path != "/metrics":
		return respond(conn, req, http.StatusNotFound, "there is nothing but /metrics\n")
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		return respond(conn, req, http.StatusMethodNotAllowed, "metrics are only read\n")
	}
	text := page()
	if text == nil {
		return respond(conn, req, http.StatusServiceUnavailable, "nothing has been looked at yet\n")
	}
	return respond(conn, req, http.StatusOK, string(text))
}

// respond writes an answer and says that none will follow on this connection.
func respond(conn net.Conn, req *http.Request, status int, body string) error {
	kind := "text/plain; charset=utf-8"
	if status == http.StatusOK {
		kind = ContentType
	}
	header := http.Header{"Content-Type": {kind}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	if status == http.StatusMethodNotAllowed {
		header.Set("Allow", "GET, HEAD")
	}
	answer := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: header,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Close: true}
	var text bytes.Buffer // written at once: a page is a few packets
	if err := answer.Write(&text); err != nil {
		return err
	}
	_, err := conn.Write(text.Bytes())
	return err
}
