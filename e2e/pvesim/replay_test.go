package pvesim_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// exchange is a recorded request to a real node and its answer.
type exchange struct {
	T                              float64
	Label, Node, Auth, Method, URL string
	Req                            *string
	Status                         int
	Reason, Body                   string
}

func recorded(t *testing.T, file string) []exchange {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var list []exchange
	s := bufio.NewScanner(r)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		var e exchange
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if _, path, ok := strings.Cut(e.URL, "/api2/json"); ok {
			e.URL = path
		}
		list = append(list, e)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// replay sends recorded requests to a lab and compares the answers.
type replay struct {
	*lab
	tokens map[string]string // Authorization headers, by the recording's word for them
	upids  map[string]string // ours, by theirs
	// digests are ours, by theirs, of objects that were read.
	digests map[string]string
	// differs lists what is known to differ, per label, with the reason.
	differs map[string]string
	// moving lists answers whose values may be a round earlier or later than recorded.
	moving map[string]string
	// shapes: the cluster is in another state than the recording's; only shapes count.
	shapes  bool
	counted int
}

// send repeats a recorded request.
func (r *replay) send(e exchange) answer {
	r.t.Helper()
	u := e.URL
	for theirs, ours := range r.upids {
		u = strings.ReplaceAll(u, url.PathEscape(theirs), url.PathEscape(ours))
		u = strings.ReplaceAll(u, url.QueryEscape(theirs), url.PathEscape(ours))
	}
	var body io.Reader = http.NoBody
	if e.Req != nil && *e.Req != "" {
		text := *e.Req
		for theirs, ours := range r.digests {
			text = strings.ReplaceAll(text, theirs, ours)
		}
		body = strings.NewReader(text)
	}
	req, err := http.NewRequest(e.Method, "https://"+e.Node+":8006/api2/json"+u, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if h, ok := r.tokens[e.Auth]; ok {
		req.Header.Set("Authorization", h)
	} else if e.Auth != "none" {
		req.Header.Set("Authorization", e.Auth)
	}
	if e.Req != nil && strings.HasPrefix(*e.Req, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s: %v", e.Label, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	return answer{resp.StatusCode, reason, string(b)}
}

// compare fails where our answer has another status, reason, text or shape.
func (r *replay) compare(e exchange, got answer) {
	r.t.Helper()
	if _, ok := r.differs[e.Label]; ok {
		return
	}
	r.counted++
	who := fmt.Sprintf("%s: %s %s", e.Label, e.Method, e.URL)
	if got.code != e.Status || got.reason != e.Reason {
		r.t.Errorf("%s\n  is %d %s\nwant %d %s", who, got.code, got.reason, e.Status, e.Reason)
		return
	}
	if (got.body == "") != (e.Body == "") {
		r.t.Errorf("%s: body %q, recorded %q", who, got.body, e.Body)
		return
	}
	if e.Body == "" {
		return
	}
	var ours, theirs map[string]any
	if err := json.Unmarshal([]byte(got.body), &ours); err != nil {
		r.t.Errorf("%s: %v", who, err)
	}
	if err := json.Unmarshal([]byte(e.Body), &theirs); err != nil {
		r.t.Fatal(err)
	}
	if e.Status >= 400 {
		if a, b := fmt.Sprint(ours), fmt.Sprint(theirs); a != b {
			r.t.Errorf("%s\n  is %s\nwant %s", who, a, b)
		}
		return
	}
	if upid, ok := theirs["data"].(string); ok && strings.HasPrefix(upid, "UPID:") {
		mine, _ := ours["data"].(string)
		r.upids[upid] = mine
		if a, b := strings.Split(mine, ":"), strings.Split(upid, ":"); len(a) != len(b) || !slices.Equal(a[5:], b[5:]) || a[1] != b[1] {
			r.t.Errorf("%s\n  is %s\nwant %s", who, mine, upid)
		}
	}
	mine, _ := ours["data"].(map[string]any)
	if m, ok := theirs["data"].(map[string]any); ok && m["digest"] != nil && mine["digest"] != nil {
		r.digests[fmt.Sprint(m["digest"])] = fmt.Sprint(mine["digest"])
	}
	remember(e, shape(ours))
	if a, b := values(ours["data"]), values(theirs["data"]); r.moving[e.Label] == "" && !r.shapes && a != b {
		r.t.Errorf("%s\n  is %s\nwant %s", who, a, b)
	}
	for _, d := range differences(shape(ours), shape(theirs)) {
		r.t.Errorf("%s: %s", who, d)
	}
}

// values are those fields of an answer that say in what state things are.
func values(data any) string {
	var list []string
	rows, _ := data.([]any)
	for _, row := range rows {
		m, ok := row.(map[string]any)
		if !ok || m["upid"] != nil || m["id"] == nil {
			continue
		}
		s := fmt.Sprint(m["id"])
		for _, k := range []string{"sid", "node", "state", "crm_state", "request_state", "hastate", "online", "quorate", "armed-state", "resource_mode"} {
			if v, ok := m[k]; ok && (k != "node" || m["type"] == "service" || m["type"] == "qemu") {
				s += fmt.Sprintf(" %s=%v", k, v)
			}
		}
		if m["type"] == "lrm" {
			s += " " + between(fmt.Sprint(m["status"]), "(", ", ") + ", " + between(fmt.Sprint(m["status"]), ", ", ", ")
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return strings.Join(list, "\n     ")
}

func between(s, a, b string) string {
	_, s, _ = strings.Cut(s, a)
	s, _, _ = strings.Cut(s, b)
	return s
}

// shape is the JSON types of a value by path. Rows of a list are told apart by what sort
// of thing they are; names of nodes, guests and the like are all one.
func shape(v any) map[string]string {
	out := map[string]string{}
	walk(out, "", v)
	return out
}

func walk(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		note(out, path, "object")
		for k, x := range v {
			if k == "saved" {
				continue // a string, or a number for some seconds after a task's end
			}
			walk(out, path+"."+generic(k), x)
		}
	case []any:
		note(out, path, "list")
		for _, x := range v {
			walk(out, path+sort(x), x)
		}
	case string:
		note(out, path, "string")
	case float64:
		note(out, path, "number")
	case bool:
		note(out, path, "boolean")
	case nil:
		note(out, path, "null")
	}
}

func note(out map[string]string, path, typ string) {
	if old, ok := out[path]; ok && !slices.Contains(strings.Split(old, "|"), typ) {
		both := append(strings.Split(old, "|"), typ)
		slices.Sort(both)
		typ = strings.Join(both, "|")
	} else if ok {
		typ = old
	}
	out[path] = typ
}

// sort tells rows of a list apart that have different fields for good reason.
func sort(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return "[]"
	}
	id := ""
	for _, k := range []string{"type", "status", "plugintype"} {
		s, ok := m[k].(string)
		if ok && len(s) < 20 && !strings.ContainsAny(s, "( '") && m["upid"] == nil {
			id += "," + s
		}
	}
	if m["upid"] != nil {
		_, ended := m["endtime"]
		_, token := m["tokenid"]
		id = fmt.Sprintf(",ended=%v,token=%v", ended, token)
	}
	return "[" + strings.TrimPrefix(id, ",") + "]"
}

var name = regexp.MustCompile(`^(pve[0-9]+|(vm|ct):[0-9]+|[A-Za-z0-9+/]{22}|/.*|(scsi|ide|virtio|mp|net|hostpci|usb)[0-9]+)$`)

func generic(key string) string {
	if name.MatchString(key) {
		return "*"
	}
	return key
}

func differences(ours, theirs map[string]string) []string {
	var list []string
	for path, typ := range theirs {
		if got, ok := ours[path]; !ok {
			list = append(list, fmt.Sprintf("lacks %s (%s)", path, typ))
		} else if got != typ {
			list = append(list, fmt.Sprintf("%s is %s, want %s", path, got, typ))
		}
	}
	for path, typ := range ours {
		if _, ok := theirs[path]; !ok {
			list = append(list, fmt.Sprintf("has %s (%s)", path, typ))
		}
	}
	slices.Sort(list)
	return list
}

// wait lets time pass until a moment of the recording.
func (r *replay) wait(begin time.Time, at float64) {
	time.Sleep(time.Until(begin.Add(time.Duration(at * float64(time.Second)))))
}
