package pvesim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// Writing HA's configuration. Every write needs the cluster-wide lock domain-ha.

func (r *request) lockHA(prefix string) error {
	if r.n.quorate {
		return nil
	}
	return dieSlowly(cfsDelay, "%scfs-lock 'domain-ha' error: no quorum!", prefix)
}

// sid is the resource a request names, which may be only a VMID.
func (r *request) sid() (string, error) {
	s := r.get("sid")
	typ, id, ok := strings.Cut(s, ":")
	if !ok {
		if g := r.fs.guests[atoi(s)]; g != nil {
			return g.sid(), nil
		}
		return "", die("unable to find resource type for ID '%s'", s)
	}
	if typ != "vm" && typ != "ct" {
		return "", die("unknown section type '%s'", typ)
	}
	if !vmID.MatchString(id) {
		return "", die("invalid VMID")
	}
	return s, nil
}

// resourceRow is a resource as configured: defaults are not there.
func (r *request) resourceRow(res *resource) object {
	typ, _, _ := strings.Cut(res.sid, ":")
	row := object{"sid": res.sid, "type": typ, "digest": digest(r.fs.resourcesText())}
	for k, v := range res.opts {
		row[k] = v
		if k == "failback" || k == "max_restart" || k == "max_relocate" {
			row[k] = atoi(v)
		}
		if k == "group" && r.fs.group(v) < 0 {
			row["errors"] = object{"group": fmt.Sprintf("group '%s' does not exist", v)}
		}
	}
	return row
}

func haResources(r *request) (any, error) {
	list := []object{}
	for _, res := range r.fs.resources {
		if typ := r.get("type"); typ == "" || strings.HasPrefix(res.sid, typ+":") {
			list = append(list, r.resourceRow(res))
		}
	}
	return list, nil
}

func haResource(r *request) (any, error) {
	sid, err := r.sid()
	if err != nil {
		return nil, err
	}
	res := r.fs.resource(sid)
	if res == nil {
		return nil, die("no such resource '%s'", sid)
	}
	return r.resourceRow(res), nil
}

func addHAResource(r *request) (any, error) {
	if !r.n.quorate {
		return nil, die("cluster not ready - no quorum?")
	}
	sid, err := r.sid()
	if err != nil {
		return nil, err
	}
	typ, id, _ := strings.Cut(sid, ":")
	g := r.fs.guests[atoi(id)]
	switch {
	case r.checkGroup("create resource failed: ") != nil:
		return nil, r.checkGroup("create resource failed: ")
	case g == nil:
		return nil, die("resource '%s' does not exist in cluster", sid)
	case g.kind.ha() != typ:
		return nil, die("resource '%s' - guest with ID %s is not a %s", sid, id, map[string]string{"vm": "VM", "ct": "container"}[typ])
	case r.fs.resource(sid) != nil:
		return nil, die("create resource failed: resource ID '%s' already defined", sid)
	}
	res := &resource{sid: sid, opts: map[string]string{}}
	r.setOptions(res)
	r.fs.putResource(res)
	return nil, nil
}

// resourceOptions are the lines a resource may have.
var resourceOptions = []string{"state", "comment", "failback", "group", "max_restart", "max_relocate"}

func (r *request) setOptions(res *resource) {
	r.fs.resourcesChanged()
	for _, k := range resourceOptions {
		if v, ok := r.args[k]; ok {
			if k == "failback" {
				v = fmt.Sprint(flag(r.is(k)))
			}
			res.opts[k] = v
		}
	}
}

func setHAResource(r *request) (any, error) {
	const failed = "update resources config failed: "
	if err := r.lockHA(failed); err != nil {
		return nil, err
	}
	sid, err := r.sid()
	if err != nil {
		return nil, err
	}
	res := r.fs.resource(sid)
	if res == nil {
		return nil, die(failed+"no such resource '%s'", sid)
	}
	if r.fs.manager.state(sid) == "error" && r.get("state") != "disabled" {
		return nil, die("service '%s' in error state, must be disabled and fixed first", sid)
	}
	if err := r.checkGroup(failed); err != nil {
		return nil, err
	}
	if d := r.get("digest"); d != "" && d != digest(r.fs.resourcesText()) {
		return nil, die(failed + "detected modified configuration - file changed by other user? Try again.")
	}
	for _, k := range splitList(r.get("delete")) {
		if !slices.Contains(resourceOptions, k) {
			return nil, die(failed+"no such option '%s'", k)
		}
		delete(res.opts, k)
	}
	r.setOptions(res)
	return nil, nil
}

func deleteHAResource(r *request) (any, error) {
	if err := r.lockHA("delete resource failed: "); err != nil {
		return nil, err
	}
	sid, err := r.sid()
	if err != nil {
		return nil, err
	}
	if r.fs.resource(sid) == nil {
		return nil, die("cannot delete service '%s', not HA managed!", sid)
	}
	r.fs.removeResource(sid, !r.has("purge") || r.is("purge"))
	return nil, nil
}

// removeResource ends a guest's HA; purge takes it out of the rules as well, and the rules
// that become empty by it.
func (f *pmxcfs) removeResource(sid string, purge bool) {
	f.resources = slices.DeleteFunc(f.resources, func(r *resource) bool { return r.sid == sid })
	delete(f.bySID, sid)
	f.resourcesChanged()
	if !purge {
		return
	}
	for _, r := range f.rules {
		r.resources = slices.DeleteFunc(r.resources, func(s string) bool { return s == sid })
	}
	f.rules = slices.DeleteFunc(f.rules, func(r *rule) bool { return len(r.resources) == 0 })
	f.rulesChanged()
}

// haMotion queues a migrate or relocate. It answers 200 also for moves that will not
// happen; only a conflict of negative affinity is told.
func haMotion(cmd string) handler {
	return func(r *request) (any, error) {
		sid, err := r.sid()
		if err != nil {
			return nil, err
		}
		if err := r.lockHA(""); err != nil {
			return nil, err
		}
		res := r.fs.resource(sid)
		switch {
		case res == nil || res.request() == "ignored":
			return nil, die("resource '%s' is not HA managed", sid)
		case r.fs.manager.state(sid) == "error":
			return nil, die("service '%s' in error state, must be disabled and fixed first", sid)
		}
		target := r.get("node")
		r.fs.queueCommand("%s %s %s", cmd, sid, target)
		out := object{"sid": sid, "requested-node": target}
		if list := r.comigrated(sid, target); len(list) > 0 {
			out["comigrated-resources"] = list
		}
		if sids := r.blocking(sid, target); len(sids) > 0 {
			out["blocking-resources"] = causes(sids)
		}
		return out, nil
	}
}

func causes(sids []string) []object {
	list := []object{}
	for _, s := range sids {
		list = append(list, object{"sid": s, "cause": "resource-affinity"})
	}
	return list
}

func (r *request) compiled() crm.Compiled {
	c, _ := crm.Compile(r.allRules(), r.knownNodes())
	return c
}

// comigrated are the resources that would move along.
func (r *request) comigrated(sid, target string) []string {
	return r.dependent(sid, func(sd crm.ServiceStatus) bool { return sd.Node != target })
}

// dependent are the positive peers of a resource that fit.
func (r *request) dependent(sid string, fits func(crm.ServiceStatus) bool) []string {
	var list []string
	for _, peer := range r.compiled().Together(sid) {
		if sd, known := r.fs.manager.service(peer); !known || fits(sd) {
			list = append(list, peer)
		}
	}
	return list
}

// blocking are the negative peers that sit on the target or are going there.
func (r *request) blocking(sid, target string) []string {
	var list []string
	ms := r.fs.manager
	if ms == nil {
		return nil
	}
	for _, peer := range r.compiled().Apart(sid) {
		p, known := ms.service(peer)
		if known && ms.Nodes[target] == crm.NodeOnline && (p.Node == target || p.Target == target) {
			list = append(list, peer)
		}
	}
	return list
}

func armHA(r *request) (any, error) {
	if err := r.lockHA(""); err != nil {
		return nil, err
	}
	r.fs.queueCommand("arm-ha")
	return nil, nil
}

func disarmHA(r *request) (any, error) {
	if err := r.lockHA(""); err != nil {
		return nil, err
	}
	r.fs.queueCommand("disarm-ha %s", r.get("resource-mode"))
	return nil, nil
}
