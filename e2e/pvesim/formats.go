package pvesim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// The named formats of the API's parameters, with the words in which they are refused.

var (
	configID   = regexp.MustCompile(`^(?i)[a-z][a-z0-9_-]+$`)
	storageID  = regexp.MustCompile(`^(?i)[a-z][a-z0-9_.-]*[a-z0-9]$`)
	nodeName   = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	serverName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$`)
	vmID       = regexp.MustCompile(`^[1-9][0-9]{2,8}$`)
	haNode     = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[0-9]+)?$`)
	haSID      = regexp.MustCompile(`^[a-z]+:\S+$`)
)

var contentTypes = strings.Fields("backup images import iso none rootdir snippets vztmpl")

// checkFormat says what is wrong with a value's form; its text ends as Proxmox's does.
func (p *property) checkFormat(name, value string) string {
	if len(p.Format) == 0 {
		return ""
	}
	var format string
	if json.Unmarshal(p.Format, &format) != nil {
		return p.checkPropertyString(name, value)
	}
	if element, ok := strings.CutSuffix(format, "-list"); ok {
		for _, item := range splitList(value) {
			if why := checkNamed(element, item); why != "" {
				return why
			}
		}
		return ""
	}
	return checkNamed(format, value)
}

func checkNamed(format, value string) string {
	bad := func(ok bool, text string, args ...any) string {
		if ok {
			return ""
		}
		return fmt.Sprintf(text, args...) + "\n"
	}
	switch format {
	case "pve-configid":
		return bad(configID.MatchString(value), "invalid configuration ID '%s'", value)
	case "pve-vmid":
		return bad(vmID.MatchString(value), "value does not look like a valid VM ID")
	case "pve-storage-path":
		return bad(strings.HasPrefix(value, "/"), "value does not look like a valid absolute path")
	case "pve-storage-server":
		return bad(serverName.MatchString(value), "value does not look like a valid server name or IP address")
	case "pve-node":
		return bad(nodeName.MatchString(value), "value does not look like a valid node name")
	case "pve-storage-id":
		return bad(storageID.MatchString(value), "storage ID '%s' contains illegal characters", value)
	case "pve-storage-content":
		return bad(slices.Contains(contentTypes, value), "invalid content type '%s'", value)
	case "pve-ha-node":
		return bad(haNode.MatchString(value), "value does not look like a valid ha node name")
	case "pve-ha-resource-id":
		return bad(haSID.MatchString(value), "value does not look like a valid ha resource id")
	case "pve-ha-resource-or-vm-id":
		return bad(haSID.MatchString(value) || vmID.MatchString(value), "value does not look like a valid ha resource or VM id")
	case "CIDR":
		_, err := netip.ParsePrefix(value)
		return bad(err == nil, "value does not look like a valid CIDR network")
	}
	return ""
}

// checkPropertyString checks a value made of comma separated key=value pairs.
func (p *property) checkPropertyString(name, value string) string {
	var props map[string]*property
	if json.Unmarshal(p.Format, &props) != nil {
		return ""
	}
	errs := map[string]string{}
	seen := map[string]bool{}
	for item := range strings.SplitSeq(value, ",") {
		key, val, ok := strings.Cut(item, "=")
		if !ok {
			key, val = defaultKey(props), item
		}
		sub := props[key]
		switch {
		case sub == nil:
			errs[key] = notInSchema
		default:
			for sub.Alias != "" && props[sub.Alias] != nil {
				key, sub = sub.Alias, props[sub.Alias]
			}
			if why := sub.check(key, val); why != "" {
				errs[key] = why
			}
		}
		seen[key] = true
	}
	for key, sub := range props {
		if !seen[key] && sub.Alias == "" && !sub.optional() {
			errs[key] = missing
		}
	}
	if len(errs) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("format error\n")
	for _, key := range slices.Sorted(maps.Keys(errs)) {
		fmt.Fprintf(&b, "%s.%s: %s\n", name, key, errs[key])
	}
	return b.String()
}

func defaultKey(props map[string]*property) string {
	for key, p := range props {
		if f, ok := p.DefaultKey.(float64); ok && f != 0 {
			return key
		}
	}
	return ""
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
