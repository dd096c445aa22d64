// Package pve is the Proxmox VE adapter: the only place that speaks to the cluster's REST
// API, and the only one that imports go-proxmox. Its secret is everything that lies
// between a Proxmox API answer and the words of pkg/ha: JSON numbers that are strings,
// omitted defaults, status codes that a generic client takes for success, tasks, digests,
// and what differs from one release to the next.
//
// A Client reads the whole cluster (Inventory), carries out one Action (Do), and follows
// what was started (WaitTask, Downtime). After an error of Do, Refused says whether the
// deed certainly was not done or whether its outcome has to be looked up.
//
// go-proxmox's Client is used for authentication, the base URL and the generic verbs. Its
// typed operations are not: it takes any status but 400, 401, 403, 500 and 501 for
// success, and many of its types do not fit what Proxmox really sends. Each of those
// traps has a test that shows both sides.
package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/luthermonson/go-proxmox"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// DefaultTimeout is how long one attempt of one read may take. The calls of an Inventory
// are answered from memory on the node that is asked; ten seconds without an answer mean
// that the node hangs, and another one is asked.
const DefaultTimeout = 10 * time.Second

// writeTimeoutMin is how long a changing call may take. Proxmox waits up to ten seconds
// for a cluster lock and gives up on a silent peer node after thirty: waiting longer than
// both lets Proxmox's answer decide, where our own impatience would leave the outcome
// unknown.
const writeTimeoutMin = 35 * time.Second

// Config says where the cluster's API is and how to be let in. It never prints its secret.
type Config struct {
	// Endpoints are https://host:8006 of several nodes, in order of preference. The port
	// defaults to 8006.
	Endpoints []string
	// TokenID is USER@REALM!NAME of an API token, TokenSecret its value. Passwords are not
	// supported: a ticket dies within two hours and with every change of the cluster's keys.
	TokenID     string
	TokenSecret string
	// At most one of the following says which certificate to trust; with none of them it is
	// the system's roots.
	//
	// CAFile is read again for every connection, so that a renewed CA needs no restart;
	// on a node it is /etc/pve/pve-root-ca.pem.
	CAFile string
	CAPEM  []byte
	// Fingerprint is the SHA-256 of a node's certificate in hex, with or without colons, as
	// GET /nodes shows it (ssl_fingerprint). Several are separated by commas or blanks: each
	// node has its own.
	Fingerprint string
	// Timeout is for one attempt of one read; 0 means DefaultTimeout.
	Timeout time.Duration
	// Transport replaces the network, for tests.
	Transport http.RoundTripper
	// Log may be nil.
	Log *slog.Logger
}

// Client speaks to one cluster through whichever of its nodes answers. It is safe for
// concurrent use and starts no goroutine of its own.
type Client struct {
	api       *proxmox.Client
	transport *transport
	token     string // the id, without the secret
	log       *slog.Logger

	mu       sync.Mutex
	releases map[int]releaseSeen // by endpoint
	audited  time.Time           // when the token was last found to see everything
}

var tokenID = regexp.MustCompile(`^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$`)

// New makes a Client. Nothing is asked of the network yet. Errors are Invalid and say
// which setting is wrong.
func New(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	endpoints, err := parseEndpoints(cfg.Endpoints)
	if err != nil {
		return nil, err
	}
	if !tokenID.MatchString(cfg.TokenID) {
		return nil, ha.Errorf(ha.Invalid, "%q is not the id of an API token: want USER@REALM!NAME, e.g. psw@pve!ha", cfg.TokenID)
	}
	if strings.TrimSpace(cfg.TokenSecret) == "" {
		return nil, ha.Errorf(ha.Invalid, "the API token %s has no secret", cfg.TokenID)
	}
	trust, err := newTrust(cfg)
	if err != nil {
		return nil, err
	}
	t := &transport{
		endpoints:    endpoints,
		readTimeout:  cfg.Timeout,
		writeTimeout: max(cfg.Timeout, writeTimeoutMin),
		secret:       cfg.TokenSecret,
		log:          cfg.Log,
	}
	if cfg.Transport != nil {
		t.reads, t.writes = cfg.Transport, cfg.Transport
	} else {
		t.reads, t.writes = trust.network(), trust.freshNetwork()
	}
	api := proxmox.NewClient(endpoints[0].String()+"/api2/json",
		proxmox.WithHTTPClient(&http.Client{Transport: t}),
		proxmox.WithAPIToken(cfg.TokenID, cfg.TokenSecret),
		proxmox.WithUserAgent("psw-ha"),
		proxmox.WithLogger(libraryLog{log: cfg.Log, secret: cfg.TokenSecret}),
	)
	return &Client{api: api, transport: t, token: cfg.TokenID, log: cfg.Log, releases: map[int]releaseSeen{}}, nil
}

func parseEndpoints(list []string) ([]*url.URL, error) {
	if len(list) == 0 {
		return nil, ha.Errorf(ha.Invalid, "no Proxmox endpoint is configured: want https://NODE:8006")
	}
	var out []*url.URL
	for _, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
			u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
			return nil, ha.Errorf(ha.Invalid, "%q is not a Proxmox endpoint: want https://NODE:8006", s)
		}
		host := u.Host
		if u.Port() == "" {
			host = strings.TrimSuffix(host, ":") + ":8006"
		}
		out = append(out, &url.URL{Scheme: "https", Host: host})
	}
	return out, nil
}

// answer receives the data member of an API answer and remembers whether there was one:
// go-proxmox leaves its result untouched for {"data":null}, and a zero value must never
// be taken for what Proxmox said.
type answer[T any] struct {
	value T
	given bool
}

func (a *answer[T]) UnmarshalJSON(b []byte) error {
	a.given = true
	return json.Unmarshal(b, &a.value)
}

// read gets path and decodes its data, which must be there. Retries and the choice of the
// node are the transport's.
func read[T any](ctx context.Context, c *Client, path string) (T, error) {
	var a answer[T]
	if err := plain(c.api.Get(ctx, path, &a)); err != nil {
		return a.value, fmt.Errorf("GET %s: %w", path, err)
	}
	if !a.given {
		return a.value, fmt.Errorf("GET %s: proxmox answered without data", path)
	}
	return a.value, nil
}

// write makes one changing call. Proxmox answers most of them with {"data":null}; what it
// does answer is decoded into T.
func write[T any](ctx context.Context, c *Client, method, path string, params map[string]any) (T, error) {
	var a answer[T]
	var body any
	if len(params) > 0 {
		body = params
	}
	var err error
	switch method {
	case http.MethodPost:
		err = c.api.Post(ctx, path, body, &a)
	case http.MethodPut:
		err = c.api.Put(ctx, path, body, &a)
	case http.MethodDelete: // Proxmox refuses a body here; parameters are in the path's query
		err = c.api.Delete(ctx, path, &a)
	default:
		return a.value, notDoneError{fmt.Errorf("no way to %s", method)}
	}
	return a.value, plain(err)
}

// plain takes off the *url.Error of net/http, whose text repeats the method and the first
// endpoint's URL, whichever endpoint was asked.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
