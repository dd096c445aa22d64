package pvesim

import (
	"maps"
	"slices"
	"strings"
)

// TokenSpec is an API token that may log in.
type TokenSpec struct {
	// User is its owner, e.g. coord@pve; ID the token's name; Secret its UUID.
	User, ID, Secret string
	// PrivSep: the token has only the rights that both it and its user were given.
	PrivSep bool
	// ACL are rights of the token, UserACL of its user. Without any UserACL a user other
	// than root@pam is Administrator on /.
	ACL, UserACL []ACL
	// Disabled: the user is, so that the token is refused.
	Disabled bool
}

// ACL gives a role on a path and below it. Privileges, if set, stand for a role made of
// just those.
type ACL struct {
	Path, Role string
	Privileges []string
}

func (e ACL) privileges() []string {
	if len(e.Privileges) > 0 {
		return e.Privileges
	}
	return roles[e.Role]
}

// access is who may do what.
type access struct {
	tokens []TokenSpec
	users  map[string][]ACL
	keys   map[string][]ACL // of tokens, by user!id
}

func newAccess(tokens []TokenSpec) *access {
	a := &access{tokens: tokens, users: map[string][]ACL{}, keys: map[string][]ACL{}}
	for _, t := range tokens {
		acl := t.UserACL
		if len(acl) == 0 && !t.PrivSep && len(a.users[t.User]) == 0 {
			acl = []ACL{{Path: "/", Role: "Administrator"}}
		}
		a.users[t.User] = append(a.users[t.User], acl...)
		a.keys[t.User+"!"+t.ID] = append(a.keys[t.User+"!"+t.ID], t.ACL...)
	}
	return a
}

// login finds out who an Authorization header names. An error's text is the reason
// phrase of the 401.
func (a *access) login(header string) (TokenSpec, string) {
	rest, ok := strings.CutPrefix(header, "PVEAPIToken")
	if !ok || rest == "" || rest[0] != '=' && rest[0] != ' ' {
		return TokenSpec{}, "No ticket"
	}
	full, secret, _ := strings.Cut(rest[1:], "=")
	for _, t := range a.tokens {
		if t.User+"!"+t.ID == full && t.Secret == secret && !t.Disabled {
			return t, ""
		}
	}
	return TokenSpec{}, "Authentication failed!"
}

// privileges are what a token may do on a path.
func (a *access) privileges(t TokenSpec, path string) []string {
	var user []string
	if t.User == "root@pam" {
		user = roles["Administrator"]
	} else {
		user = granted(a.users[t.User], path)
	}
	if !t.PrivSep {
		return user
	}
	own := granted(a.keys[t.User+"!"+t.ID], path)
	return slices.DeleteFunc(slices.Clone(own), func(p string) bool { return !slices.Contains(user, p) })
}

// granted are the privileges of the entry that lies closest to the path.
func granted(acl []ACL, path string) []string {
	var privs []string
	best := -1
	for _, e := range acl {
		if !covers(e.Path, path) || len(e.Path) < best {
			continue
		}
		if len(e.Path) > best {
			privs = nil
		}
		best = len(e.Path)
		privs = append(privs, e.privileges()...)
	}
	slices.Sort(privs)
	return slices.Compact(privs)
}

func covers(acl, path string) bool {
	return acl == "/" || acl == path || strings.HasPrefix(path, acl+"/")
}

func (a *access) may(t TokenSpec, path string, privs ...string) bool {
	have := a.privileges(t, path)
	for _, p := range privs {
		if slices.Contains(have, p) {
			return true
		}
	}
	return false
}

// basicPaths are those of which /access/permissions tells without an ACL on them.
var basicPaths = []string{"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}

// dump is what GET /access/permissions answers.
func (a *access) dump(t TokenSpec, path string) map[string]any {
	paths := []string{path}
	if path == "" {
		paths = slices.Clone(basicPaths)
		for _, acls := range []map[string][]ACL{a.users, a.keys} {
			for _, who := range slices.Sorted(maps.Keys(acls)) {
				for _, e := range acls[who] {
					paths = append(paths, e.Path)
				}
			}
		}
	}
	out := map[string]any{}
	for _, p := range paths {
		privs := map[string]any{}
		for _, priv := range a.privileges(t, p) {
			privs[priv] = 1
		}
		if len(privs) > 0 {
			out[p] = privs
		}
	}
	return out
}

// roles are Proxmox's own (recorded from GET /access/roles of 9.2.11).
var roles = map[string][]string{
	"Administrator": strings.Fields("Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit Group.Allocate " +
		"Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify Pool.Allocate Pool.Audit Realm.Allocate " +
		"Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Console " +
		"Sys.Incoming Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify VM.Allocate VM.Audit VM.Backup VM.Clone " +
		"VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory " +
		"VM.Config.Network VM.Config.Options VM.Console VM.GuestAgent.Audit VM.GuestAgent.FileRead " +
		"VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Migrate " +
		"VM.PowerMgmt VM.Replicate VM.Snapshot VM.Snapshot.Rollback"),
	"NoAccess": strings.Fields(""),
	"PVEAdmin": strings.Fields("Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit Group.Allocate " +
		"Mapping.Audit Mapping.Use Pool.Allocate Pool.Audit Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use " +
		"Sys.Audit Sys.Console Sys.Syslog User.Modify VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM " +
		"VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network " +
		"VM.Config.Options VM.Console VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt " +
		"VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Migrate VM.PowerMgmt VM.Replicate VM.Snapshot " +
		"VM.Snapshot.Rollback"),
	"PVEAuditor":        strings.Fields("Datastore.Audit Mapping.Audit Pool.Audit SDN.Audit Sys.Audit VM.Audit VM.GuestAgent.Audit"),
	"PVEDatastoreAdmin": strings.Fields("Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit"),
	"PVEDatastoreUser":  strings.Fields("Datastore.AllocateSpace Datastore.Audit"),
	"PVEMappingAdmin":   strings.Fields("Mapping.Audit Mapping.Modify Mapping.Use"),
	"PVEMappingUser":    strings.Fields("Mapping.Audit Mapping.Use"),
	"PVEPoolAdmin":      strings.Fields("Pool.Allocate Pool.Audit"),
	"PVEPoolUser":       strings.Fields("Pool.Audit"),
	"PVESDNAdmin":       strings.Fields("SDN.Allocate SDN.Audit SDN.Use"),
	"PVESDNUser":        strings.Fields("SDN.Audit SDN.Use"),
	"PVESysAdmin":       strings.Fields("Sys.Audit Sys.Console Sys.Syslog"),
	"PVETemplateUser":   strings.Fields("VM.Audit VM.Clone"),
	"PVEUserAdmin":      strings.Fields("Group.Allocate Realm.AllocateUser User.Modify"),
	"PVEVMAdmin": strings.Fields("VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit " +
		"VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console " +
		"VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite " +
		"VM.GuestAgent.Unrestricted VM.Migrate VM.PowerMgmt VM.Replicate VM.Snapshot VM.Snapshot.Rollback"),
	"PVEVMUser": strings.Fields("VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.GuestAgent.Audit " +
		"VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.PowerMgmt"),
}
