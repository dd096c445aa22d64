package pve

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// APIError is any answer of the API that is not a success. Errors of this package wrap it;
// errors.As finds it.
type APIError struct {
	// Status is the HTTP status. Proxmox uses 500 for most refusals, "does not exist"
	// included, and 595 to 599 when a node could not reach the one it was to ask.
	Status int
	// Reason is the reason phrase: the first line of the text.
	Reason string
	// Message is the body's message; it is the whole text, where Reason may be lost on the
	// way (HTTP/2, a reverse proxy).
	Message string
	// Params are the refused parameters with the reason for each (status 400).
	Params map[string]string
	// Endpoint is the node that answered, as host:port.
	Endpoint string
	// fromProxmox: the answer had Proxmox's own form, so it was no gateway in between.
	fromProxmox bool
}

// Text is what Proxmox said, on one line and without its full stop: the body's message,
// else the reason phrase, and the refused parameters.
func (e *APIError) Text() string {
	text := oneLine(e.Message)
	if text == "" {
		text = oneLine(e.Reason)
	}
	if text == "" {
		text = http.StatusText(e.Status)
	}
	if len(e.Params) == 0 {
		return text
	}
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(e.Params)) {
		parts = append(parts, p+": "+oneLine(e.Params[p]))
	}
	return text + ": " + strings.Join(parts, "; ")
}

func (e *APIError) Error() string {
	return fmt.Sprintf("proxmox on %s answered %d: %s", e.Endpoint, e.Status, e.Text())
}

// gateway: the node asked, or something in front of it, could not reach whoever was to
// answer. Another attempt may fare better.
func (e *APIError) gateway() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		statusConnect, statusRequest, statusBody, statusOther:
		return true
	}
	return false
}

// What a node answers when it was to ask another node (pveproxy; the body is empty).
const (
	statusConnect = 595 // no connection to it
	statusRequest = 596 // TLS, sending, or 30 s of silence
	statusBody    = 597 // its answer broke off
	statusOther   = 599
)

// refused: the deed was certainly not done.
func (e *APIError) refused() bool {
	switch {
	case e.Status == statusConnect:
		return true // the node that was to do it never got the request
	case e.Status == http.StatusInternalServerError:
		return e.fromProxmox
	case e.Status == http.StatusNotImplemented:
		return true
	case e.Status == http.StatusRequestTimeout:
		return false
	}
	return e.Status >= 300 && e.Status < 500
}

// TransportError is a call that got no usable answer.
type TransportError struct {
	// Endpoint is the node that was asked, as host:port.
	Endpoint string
	// Sent: the request may have reached the node. False only if there never was a
	// connection to send it on.
	Sent bool
	// Timeout: nothing came within the time for one attempt.
	Timeout bool
	Err     error
}

func (e *TransportError) Error() string {
	return fmt.Sprintf("no usable answer from %s: %s", e.Endpoint, e.Err)
}

func (e *TransportError) Unwrap() error { return e.Err }

// neverSent reports whether err happened before there was a connection.
func neverSent(err error) bool {
	var d *dialError
	var op *net.OpError
	return errors.As(err, &d) || errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

// BlockedError is an HA migration that Proxmox accepted with status 200 and will not do:
// the answer names the resources in the way.
type BlockedError struct {
	SID      ha.SID
	Node     ha.NodeName
	Blockers []string // SIDs, each with the cause in brackets
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("the HA manager will not move %s to %s while %s is there",
		e.SID, e.Node, strings.Join(e.Blockers, ", "))
}

// notDoneError marks an error before the changing call: whatever it was, nothing was changed.
type notDoneError struct{ err error }

func (e notDoneError) Error() string { return e.err.Error() }
func (e notDoneError) Unwrap() error { return e.err }

// refusedError marks an error of Do after which the deed certainly is not done.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// Refused reports whether the deed of a failed Do certainly was not done: Proxmox answered
// and refused, or the request was never sent. False means that the outcome is unknown:
// look before repeating. It is false for nil and for errors of any other call.
func Refused(err error) bool {
	var r refusedError
	return errors.As(err, &r)
}

// undone judges an error of a deed: was it certainly not done?
func undone(err error) bool {
	var not notDoneError
	var blocked *BlockedError
	if errors.As(err, &not) || errors.As(err, &blocked) {
		return true
	}
	var api *APIError
	if errors.As(err, &api) {
		return api.refused()
	}
	var tr *TransportError
	return errors.As(err, &tr) && !tr.Sent
}

// oneLine joins the lines of a Proxmox text and takes off its full stop.
func oneLine(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
