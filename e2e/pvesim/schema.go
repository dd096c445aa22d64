package pvesim

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Requests are checked against Proxmox's own description of its API. It is stricter than
// one expects: a parameter it does not know is an error.

//go:embed schema/requests.json.gz
var schemaFile []byte

// endpoint is a method and path of the API.
type endpoint struct {
	method, path string
	segments     []string
	proxied      bool // answered by the node in its path
	Parameters   struct {
		Properties map[string]*property
	}
	Permissions struct {
		Check []any
		User  string
	}
	Proxyto string
}

// property describes a parameter in PVE's dialect of JSON schema.
type property struct {
	Type          string
	Format        json.RawMessage
	Enum          []any
	Minimum       limit
	Maximum       limit
	MinLength     limit
	MaxLength     limit
	Pattern       string
	Optional      any
	InstanceTypes []string `json:"instance-types"`
	TypeProperty  string   `json:"type-property"`
	DefaultKey    any      `json:"default_key"`
	Alias         string
}

// limit is a number which the schema sometimes writes as a string.
type limit struct {
	set   bool
	value float64
}

func (l *limit) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*l = limit{err == nil, v}
	return err
}

func (p *property) optional() bool {
	switch v := p.Optional.(type) {
	case float64:
		return v != 0
	case string:
		return v != "0" && v != ""
	}
	return false
}

// endpoints are all endpoints of the schema, parsed once.
var endpoints = sync.OnceValue(func() []*endpoint {
	r, err := gzip.NewReader(bytes.NewReader(schemaFile))
	if err != nil {
		panic(fmt.Sprintf("pvesim: embedded schema: %v", err))
	}
	var all map[string]*endpoint
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		panic(fmt.Sprintf("pvesim: embedded schema: %v", err))
	}
	var list []*endpoint
	for key, e := range all {
		e.method, e.path, _ = strings.Cut(key, " ")
		e.segments = strings.Split(strings.Trim(e.path, "/"), "/")
		e.proxied = e.Proxyto == "node"
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *endpoint) int { return strings.Compare(a.method+a.path, b.method+b.path) })
	return list
})

// find returns the endpoint of a request and the values of the variables in its path.
func find(method, path string) (*endpoint, map[string]string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, e := range endpoints() {
		if e.method != method || len(e.segments) != len(segments) {
			continue
		}
		if vars, ok := match(e.segments, segments); ok {
			return e, vars
		}
	}
	return nil, nil
}

func match(pattern, segments []string) (map[string]string, bool) {
	vars := map[string]string{}
	for k, p := range pattern {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			vars[strings.TrimSuffix(name, "}")] = segments[k]
		} else if p != segments[k] {
			return nil, false
		}
	}
	return vars, true
}

const (
	notInSchema = "property is not defined in schema and the schema does not allow additional properties"
	missing     = "property is missing and it is not optional"
)

// validate checks a request's parameters and says per parameter what is wrong.
func (e *endpoint) validate(params map[string]string) map[string]string {
	errs := map[string]string{}
	variants := e.variants()
	for name, value := range params {
		p := e.property(name)
		switch {
		case p == nil, variants && !e.fits(name, p, params["type"]):
			errs[name] = notInSchema
		default:
			if why := p.check(name, value); why != "" {
				errs[name] = why
			}
		}
	}
	for name, p := range e.Parameters.Properties {
		if _, ok := params[name]; ok || strings.HasSuffix(name, "[n]") {
			continue
		}
		switch {
		case variants && name != "type" && name != "rule":
			if kind := params["type"]; e.needs(name, p, kind) {
				errs[fmt.Sprintf("oneOf[%s].%s", kind, name)] = missing
			}
		case !p.optional():
			errs[name] = missing
		}
	}
	return errs
}

// variants: HA rules have different parameters for different types.
func (e *endpoint) variants() bool {
	return strings.HasPrefix(e.path, "/cluster/ha/rules") && e.method != "GET" && e.method != "DELETE"
}

// fits reports whether a rule of this type may have the parameter.
func (e *endpoint) fits(name string, p *property, kind string) bool {
	if slices.Contains([]string{"type", "rule", "delete", "digest"}, name) {
		return true
	}
	if kind != "node-affinity" && kind != "resource-affinity" {
		return false
	}
	return len(p.InstanceTypes) == 0 || slices.Contains(p.InstanceTypes, kind)
}

// needs: on creation the schema calls some optional that are not.
func (e *endpoint) needs(name string, p *property, kind string) bool {
	if e.method != "POST" {
		return false
	}
	return kind == "node-affinity" && name == "nodes" || kind == "resource-affinity" && name == "affinity" ||
		name == "resources" && e.fits(name, p, kind)
}

func (e *endpoint) property(name string) *property {
	if p := e.Parameters.Properties[name]; p != nil {
		return p
	}
	base := strings.TrimRight(name, "0123456789")
	if base == name {
		return nil
	}
	return e.Parameters.Properties[base+"[n]"]
}

// check says what is wrong with a value; empty if nothing.
func (p *property) check(name, value string) string {
	switch p.Type {
	case "integer":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Sprintf("type check ('integer') failed - got '%s'", value)
		}
	case "number":
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return fmt.Sprintf("type check ('number') failed - got '%s'", value)
		}
	case "boolean":
		if !slices.Contains([]string{"0", "1", "on", "off", "yes", "no", "true", "false"}, strings.ToLower(value)) {
			return fmt.Sprintf("type check ('boolean') failed - got '%s'", value)
		}
		return ""
	}
	if why := p.checkFormat(name, value); why != "" {
		return "invalid format - " + why
	}
	if why := p.checkLimits(value); why != "" {
		return why
	}
	if len(p.Enum) > 0 {
		var names []string
		for _, v := range p.Enum {
			names = append(names, fmt.Sprint(v))
		}
		if !slices.Contains(names, value) {
			return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", value, strings.Join(names, ", "))
		}
	}
	return ""
}

func (p *property) checkLimits(value string) string {
	if f, err := strconv.ParseFloat(value, 64); err == nil && (p.Type == "integer" || p.Type == "number") {
		if p.Minimum.set && f < p.Minimum.value {
			return fmt.Sprintf("value must have a minimum value of %v", p.Minimum.value)
		}
		if p.Maximum.set && f > p.Maximum.value {
			return fmt.Sprintf("value must have a maximum value of %v", p.Maximum.value)
		}
	}
	if p.Type != "string" {
		return ""
	}
	if p.MaxLength.set && len(value) > int(p.MaxLength.value) {
		return fmt.Sprintf("value may only be %v characters long", p.MaxLength.value)
	}
	if p.MinLength.set && len(value) < int(p.MinLength.value) {
		return fmt.Sprintf("value must be at least %v characters long", p.MinLength.value)
	}
	if p.Pattern != "" {
		if re, err := regexp.Compile("^(?:" + p.Pattern + ")$"); err == nil && !re.MatchString(value) {
			return "value does not match the regex pattern"
		}
	}
	return ""
}
