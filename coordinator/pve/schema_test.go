package pve

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// schema is the part of Proxmox's own API description (pve-docs of 9.1) that the adapter
// uses: for each call its parameters. Proxmox refuses what is not in it.
type schema map[string]struct {
	Parameters struct {
		Properties map[string]parameter `json:"properties"`
	} `json:"parameters"`
}

type parameter struct {
	Type      string   `json:"type"`
	Enum      []string `json:"enum"`
	Optional  Bool     `json:"optional"`
	Minimum   *Float   `json:"minimum"`
	Maximum   *Float   `json:"maximum"`
	MaxLength Int      `json:"maxLength"`
	Format    string   `json:"format"`
	// Instances are the values of "type" with which the parameter may be sent.
	Instances []string `json:"instance-types"`
}

func readSchema(tb testing.TB) schema {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "schema.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// check says what Proxmox would refuse of a request.
func (s schema) check(r request) error {
	for call, spec := range s {
		method, pattern, _ := strings.Cut(call, " ")
		params, ok := match(pattern, r.path)
		if method != r.method || !ok {
			continue
		}
		query, err := url.ParseQuery(r.query)
		if err != nil {
			return err
		}
		for k, v := range query {
			params[k] = v[0]
		}
		if r.body != "" {
			var body map[string]json.RawMessage
			if err := json.Unmarshal([]byte(r.body), &body); err != nil {
				return err
			}
			for k, raw := range body {
				text, err := scalar(raw)
				if err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
				params[k] = text
			}
		}
		return checkParams(spec.Parameters.Properties, params)
	}
	return fmt.Errorf("there is no %s %s", r.method, r.path)
}

// match fills the placeholders of a pattern.
func match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	params := map[string]string{}
	for k := range want {
		if strings.HasPrefix(want[k], "{") {
			params[strings.Trim(want[k], "{}")] = have[k]
		} else if want[k] != have[k] {
			return nil, false
		}
	}
	return params, true
}

func checkParams(known map[string]parameter, params map[string]string) error {
	for name, p := range known {
		if _, ok := params[name]; !ok && !bool(p.Optional) {
			return fmt.Errorf("%s: property is missing and it is not optional", name)
		}
	}
	for name, value := range params {
		p, ok := known[name]
		if !ok {
			return fmt.Errorf("%s: property is not defined in schema and the schema does not allow additional properties", name)
		}
		if len(p.Instances) > 0 && !slices.Contains(p.Instances, params["type"]) {
			return fmt.Errorf("%s: not with type %q", name, params["type"])
		}
		if err := p.check(value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

var formats = map[string]*regexp.Regexp{
	"pve-node":                 regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`),
	"pve-ha-resource-or-vm-id": regexp.MustCompile(`^([a-z]+:\S+|\d+)$`),
	"pve-ha-resource-id-list":  regexp.MustCompile(`^[a-z]+:\d+(,[a-z]+:\d+)*$`),
	"pve-ha-node-list":         regexp.MustCompile(`^[a-zA-Z0-9-]+(:\d+)?(,[a-zA-Z0-9-]+(:\d+)?)*$`),
	"pve-configid":             regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]+$`),
	"pve-configid-list":        regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]+(,[A-Za-z][A-Za-z0-9_-]+)*$`),
	"pve-vmid":                 regexp.MustCompile(`^[1-9][0-9]{2,8}$`),
}

func (p parameter) check(value string) error {
	switch p.Type {
	case "integer":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("type check ('integer') failed - got '%s'", value)
		}
		if p.Minimum != nil && float64(n) < float64(*p.Minimum) || p.Maximum != nil && float64(n) > float64(*p.Maximum) {
			return fmt.Errorf("%d is out of range", n)
		}
	case "boolean":
		if value != "0" && value != "1" {
			return fmt.Errorf("type check ('boolean') failed - got '%s'", value)
		}
	}
	if len(p.Enum) > 0 && !slices.Contains(p.Enum, value) {
		return fmt.Errorf("value '%s' does not have a value in the enumeration '%s'", value, strings.Join(p.Enum, ", "))
	}
	if p.MaxLength > 0 && len(value) > int(p.MaxLength) {
		return fmt.Errorf("value may only be %d characters long", p.MaxLength)
	}
	if f := formats[p.Format]; f != nil && !f.MatchString(value) {
		return fmt.Errorf("invalid format - %q is no %s", value, p.Format)
	}
	return nil
}
