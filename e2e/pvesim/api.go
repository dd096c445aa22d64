package pvesim

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// request is a call that has been found, let in and checked.
type request struct {
	c     *Cluster
	n     *node // the node that answers
	fs    *pmxcfs
	token TokenSpec
	vars  map[string]string // of the path
	args  map[string]string // of the query or body
}

// get is a parameter, wherever it came from; empty if it was not given.
func (r *request) get(name string) string {
	if v, ok := r.args[name]; ok {
		return v
	}
	return r.vars[name]
}

func (r *request) has(name string) bool { _, ok := r.args[name]; return ok }

// is reads a boolean parameter.
func (r *request) is(name string) bool {
	return slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(r.args[name]))
}

func (r *request) who() by { return by{r.token.User, r.token.ID} }

func (r *request) may(path string, privs ...string) bool {
	return r.fs.access.may(r.token, path, privs...)
}

// response is an answer as it goes over the wire.
type response struct {
	status int
	reason string // empty: the usual one of status
	body   []byte // nil: no body and no content type
	delay  time.Duration
}

// apiError is an answer that says no.
type apiError struct {
	status  int
	reason  string
	message string            // empty: no body
	params  map[string]string // errors per parameter
	delay   time.Duration     // model time until it is said
}

func (e *apiError) Error() string { return e.message }

// die is how a call ends in which something went wrong: 500, whatever it was.
func die(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	first, _, _ := strings.Cut(text, "\n")
	return &apiError{status: 500, reason: first, message: text + "\n"}
}

// dieSlowly is die after some time.
func dieSlowly(d time.Duration, format string, args ...any) error {
	e := die(format, args...).(*apiError)
	e.delay = d
	return e
}

// invalid is the answer to wrong parameters.
func invalid(params map[string]string) error {
	const text = "Parameter verification failed."
	return &apiError{status: 400, reason: text, message: text + "\n", params: params}
}

func forbidden(path string, privs []string) error {
	text := fmt.Sprintf("Permission check failed (%s, %s)", path, strings.Join(privs, "|"))
	return &apiError{status: 403, reason: text, message: text + "\n"}
}

func (e *apiError) response() response {
	r := response{status: e.status, reason: e.reason, delay: e.delay}
	if e.message != "" {
		body := map[string]any{"data": nil, "message": e.message}
		if e.params != nil {
			body["errors"] = e.params
		}
		r.body = encode(body)
	}
	return r
}

// listing is data that comes with a total.
type listing struct {
	data  any
	total int
}

func encode(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("pvesim: answer: %v", err))
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// Delays in model time of answers that are slow on real nodes.
const (
	authDelay   = 3 * time.Second  // every 401
	lookupDelay = 10 * time.Second // a node name that does not exist
	deadDelay   = 3 * time.Second  // a node that does not answer
	deadEarly   = 30 * time.Second // the same while its address is still remembered
	cfsDelay    = 10 * time.Second // a cluster lock without quorum
)

// answer does what a request asks for, under the cluster's lock.
func (c *Cluster) answer(n *node, method string, u *url.URL, header http.Header, body []byte) response {
	resp, err := c.tryAnswer(n, method, u, header, body)
	if err != nil {
		return err.(*apiError).response()
	}
	out := map[string]any{"data": resp}
	if l, ok := resp.(listing); ok {
		out["data"] = l.data
		if l.total > 0 { // 0 is left out
			out["total"] = l.total
		}
	}
	return response{status: 200, body: encode(out)}
}

func (c *Cluster) tryAnswer(n *node, method string, u *url.URL, header http.Header, body []byte) (any, error) {
	if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, method) {
		return nil, &apiError{status: 501, reason: fmt.Sprintf("method '%s' not available", method)}
	}
	token, why := n.fs.access.login(header.Get("Authorization"))
	if why != "" {
		return nil, &apiError{status: 401, reason: why, delay: authDelay}
	}
	path, ok := strings.CutPrefix(u.EscapedPath(), "/api2/json")
	e, vars := find(method, path)
	if !ok || e == nil || handlers[method+" "+e.path] == nil || !n.serves(e.path) {
		text := fmt.Sprintf("Method '%s %s' not implemented", method, path)
		return nil, &apiError{status: 501, reason: text, message: text}
	}
	for k, v := range vars {
		vars[k], _ = url.PathUnescape(v)
	}
	args, err := parameters(method, u, header, body)
	if err != nil {
		return nil, err
	}
	r := &request{c: c, n: n, fs: n.fs, token: token, vars: vars, args: args}
	if err := e.permit(r); err != nil {
		return nil, err
	}
	if e.proxied && vars["node"] != n.name && vars["node"] != "localhost" {
		if err := r.proxy(vars["node"]); err != nil {
			return nil, err
		}
	}
	all := map[string]string{}
	for k, v := range vars {
		all[k] = v
	}
	for k, v := range args {
		all[k] = v
	}
	errs := e.validate(all)
	maps.Copy(errs, n.unknown(method+" "+e.path, args))
	if len(errs) > 0 {
		return nil, invalid(errs)
	}
	return handlers[method+" "+e.path](r)
}

// parameters are a request's, from the query and the body.
func parameters(method string, u *url.URL, header http.Header, body []byte) (map[string]string, error) {
	args := map[string]string{}
	add := func(values url.Values) {
		for k, v := range values {
			args[k] = strings.Join(v, ",")
		}
	}
	add(u.Query())
	if len(body) == 0 {
		return args, nil
	}
	if method == "DELETE" || method == "GET" {
		return nil, &apiError{status: 501, reason: fmt.Sprintf("Unexpected content for method '%s'", method)}
	}
	if strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		var m map[string]any
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			return nil, &apiError{status: 400, reason: "unable to parse JSON body", message: err.Error() + "\n"}
		}
		for k, v := range m {
			args[k] = scalar(v)
		}
		return args, nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &apiError{status: 400, reason: "unable to parse parameters", message: err.Error() + "\n"}
	}
	add(values)
	return args, nil
}

func scalar(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "1"
		}
		return "0"
	case nil:
		return ""
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, scalar(x))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

// permit checks the endpoint's own permission; some look further themselves.
func (e *endpoint) permit(r *request) error {
	if e.Permissions.User != "" {
		return nil
	}
	if len(e.Permissions.Check) < 3 {
		// Only root@pam himself may, and no token is he.
		return &apiError{status: 403, reason: "Permission check failed (user != root@pam)", message: "Permission check failed (user != root@pam)\n"}
	}
	path, _ := e.Permissions.Check[1].(string)
	for k, v := range r.vars {
		path = strings.ReplaceAll(path, "{"+k+"}", v)
	}
	var privs []string
	list, _ := e.Permissions.Check[2].([]any)
	for _, p := range list {
		privs = append(privs, fmt.Sprint(p))
	}
	if !aclPath(path) {
		return forbidden("", privs)
	}
	if len(e.Permissions.Check) > 3 { // any of them
		if !r.may(path, privs...) {
			return forbidden(path, privs)
		}
		return nil
	}
	for _, p := range privs {
		if !r.may(path, p) {
			return forbidden(path, privs)
		}
	}
	return nil
}

// aclPath reports whether a path can be one of the permission system's.
func aclPath(path string) bool {
	return !strings.ContainsAny(path, "!?*$ ") && strings.HasPrefix(path, "/")
}

// proxy hands the request on to another node.
func (r *request) proxy(name string) error {
	to := r.n.peer(name)
	switch {
	case to == nil:
		return dieSlowly(lookupDelay, "hostname lookup '%s' failed - failed to get address info for: %s: Temporary failure in name resolution", name, name)
	case !to.up && r.c.now().sub(to.died) < deadEarly:
		return &apiError{status: 595, reason: "Connection timed out", delay: deadEarly}
	case !connected(r.n, to):
		return &apiError{status: 595, reason: "No route to host", delay: deadDelay}
	}
	r.n, r.fs = to, to.fs
	return nil
}

// readBody reads a request's body as far as pveproxy would.
func readBody(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, 512<<10))
}
