package pve

import (
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What recorded tokens lack.
func TestPermissions(t *testing.T) {
	for name, want := range map[string][]string{
		"permissions-administrator": nil,
		"permissions-auditor":       {"Sys.Console on /", "VM.Migrate on /vms", "VM.PowerMgmt on /vms"},
		"permissions-some": {"Sys.Audit on /", "Sys.Audit on /nodes", "VM.Audit on /vms", "Datastore.Audit on /storage",
			"Sys.Console on /", "VM.Migrate on /vms", "VM.PowerMgmt on /vms"},
		"permissions-none": {"Sys.Audit on /", "Sys.Audit on /nodes", "VM.Audit on /vms", "Datastore.Audit on /storage",
			"Sys.Console on /", "VM.Migrate on /vms", "VM.PowerMgmt on /vms"},
	} {
		got, err := ours(t, always(200, "OK", recorded(t, name))).Permissions(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	_, err := ours(t, always(401, "Authentication failed!", "")).Permissions(t.Context())
	if ha.KindOf(err) != ha.Denied || !strings.Contains(err.Error(), testToken) {
		t.Errorf("expired token: %v", err)
	}
}

// A right is handed down unless its propagate bit is off, and a path below may be more
// restricted than the rest.
func TestPermissionsAreInherited(t *testing.T) {
	all := `"Sys.Audit":1,"VM.Audit":1,"Datastore.Audit":1,"Sys.Console":1,"VM.Migrate":1,"VM.PowerMgmt":1`
	for body, want := range map[string]string{
		`{"/":{` + all + `}}`: "",
		`{"/":{` + all + `},"/vms/104":{"VM.Audit":1,"VM.PowerMgmt":1}}`:                       "VM.Migrate on /vms/104",
		`{"/":{` + all + `},"/vms":{"VM.Audit":"1","VM.Migrate":true,"VM.PowerMgmt":1}}`:       "",
		`{"/":{` + strings.ReplaceAll(all, `"VM.Audit":1`, `"VM.Audit":0`) + `}}`:              "VM.Audit on /vms",
		`{"/":{` + strings.ReplaceAll(all, `"Sys.Console":1`, `"Sys.Console":0`) + `}}`:        "",
		`{"/":{` + all + `},"/storage/nas":{"Datastore.AllocateSpace":1},"/vmsx":{"Other":1}}`: "Datastore.Audit on /storage/nas",
	} {
		got, err := ours(t, always(200, "OK", `{"data":`+body+`}`)).Permissions(t.Context())
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
}
