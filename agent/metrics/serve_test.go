package metrics

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listening serves a page on the loopback until stop is called, and returns where.
func listening(t *testing.T, page func() []byte) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		Serve(ctx, l, page, slog.New(slog.DiscardHandler))
	}()
	stop = func() {
		end()
		<-served
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// Before the first round there is nothing to tell, and that is said; nothing but the page
// is served, and nobody can write.
func TestThePageIsServed(t *testing.T) {
	var page []byte
	address, _ := listening(t, func() []byte { return page })
	ask := func(method, path string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(text)
	}
	if answer, _ := ask(http.MethodGet, "/metrics"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before the first round the answer is %s", answer.Status)
	}
	page = []byte(strings.Repeat("psw_ha_pmxcfs_writable 1\n", 4000)) // more than a packet
	answer, text := ask(http.MethodGet, "/metrics")
	if answer.StatusCode != http.StatusOK || text != string(page) || answer.Header.Get("Content-Type") != ContentType {
		t.Errorf("the answer is %s, %d bytes, %s", answer.Status, len(text), answer.Header)
	}
	if answer, text := ask(http.MethodHead, "/metrics"); answer.StatusCode != http.StatusOK || text != "" || answer.ContentLength != int64(len(page)) {
		t.Errorf("without the body the answer is %s, %q, %d", answer.Status, text, answer.ContentLength)
	}
	for _, wrong := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/metrics/x", http.StatusNotFound},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
	} {
		if answer, _ := ask(wrong.method, wrong.path); answer.StatusCode != wrong.code {
			t.Errorf("%s %s is answered with %s", wrong.method, wrong.path, answer.Status)
		}
	}
}

// What is no request is refused, and a request without an end is not read to it.
func TestNonsenseIsRefused(t *testing.T) {
	address, _ := listening(t, func() []byte { return []byte("x 1\n") })
	for name, sent := range map[string]string{
		"words":          "who are you?\r\n\r\n",
		"a long address": "GET /" + strings.Repeat("x", requestSizeMax) + " HTTP/1.1\r\n\r\n",
		"long headers":   "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", requestSizeMax) + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %+v, %v", name, answer, err)
		} else {
			answer.Body.Close()
		}
		conn.Close()
	}
}

// Whoever connects and says nothing, or does not listen, is given up.
func TestTheSilentAreGivenUp(t *testing.T) {
	for name, says := range map[string]string{"nothing": "", "half a request": "GET /metr", "a request, and does not listen": "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer there.Close()
				go func() { _, _ = io.WriteString(there, says) }()
				began := time.Now()
				if err := answer(here, func() []byte { return []byte("x 1\n") }); err == nil {
					t.Error("was answered")
				}
				if took := time.Since(began); took != answerMax {
					t.Errorf("given up after %s", took)
				}
				here.Close()
			})
		})
	}
}

// However many have connected and say nothing, the agent ends without waiting for them.
func TestTheSilentDoNotHoldUpTheEnd(t *testing.T) {
	address, stop := listening(t, func() []byte { return []byte("x 1\n") })
	for range askersMax + 2 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took >= answerMax {
		t.Errorf("it took %s to end", took)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("somebody listens after the end")
	}
}
