package pve

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A saying is a text by which Proxmox refuses, what sort of refusal it is, and what a
// person can do. Nearly all of them arrive with status 500, "does not exist" included, so
// the text is all there is to tell them apart. Texts are of pve-manager 9.2 and
// pve-ha-manager 5.2.0.
type saying struct {
	text   *regexp.Regexp
	kind   ha.Kind
	advice string
}

// sayings are tried in order; the first that matches counts.
var sayings = []saying{
	{re(`no quorum`), ha.NotReady,
		"nothing can be changed without quorum: `pvecm status` on a node shows who is missing"},
	{re(`got lock request timeout|got lock timeout|can't lock file`), ha.Unavailable,
		"something else holds the lock; try again in a moment"},
	{re(`in error state, must be disabled and fixed first`), ha.NotReady,
		"lead it out: `psw ha recover TARGET`, or `ha-manager set SID --state disabled`, mend it, `--state started`"},
	{re(`(VM|CT) is locked \(|is locked \(`), ha.Conflict,
		"another task holds the guest; wait for it, and if there is none, `qm unlock ID` or `pct unlock ID`"},
	{re(`detected modified configuration|checksum mismatch`), ha.Conflict,
		"somebody else changed the configuration meanwhile; it must be read again first"},
	{re(`already defined`), ha.Conflict,
		"somebody else made it meanwhile, and otherwise: `psw ha plan` shows what is there"},
	{re(`already exists|File exists`), ha.Conflict, ""},
	{re(`used in HA resources`), ha.Conflict,
		"take it out of HA first: take ha: true away and `psw ha apply`; `ha-manager remove SID` if others registered it"},
	{re(`protection mode enabled`), ha.Conflict, "the guest is protected: `--protection 0` takes that away"},
	{re(`Rule '[^']*' is invalid`), ha.Conflict,
		"the rule contradicts the cluster or another rule: `ha-manager rules list` shows them"},
	{re(`ha groups have been migrated to rules`), ha.Invalid,
		"Proxmox VE 9 has HA rules instead of groups"},
	{re(`cannot use unmanaged resource`), ha.NotFound,
		"a rule can only name guests that are HA resources"},
	{re(`cannot use non-existent node|no such cluster node|hostname lookup '[^']*' failed`), ha.NotFound,
		"`pvecm nodes` lists the nodes of the cluster"},
	{re(`no such resource|not HA managed|no such ha rule|HA rule '[^']*' does not exist`), ha.NotFound,
		"somebody else removed it meanwhile, or never made it: `psw ha plan` shows what is there"},
	{re(`resource '[^']*' does not exist in cluster`), ha.NotFound,
		"there is no such guest: network.yml and .psw/converge/state.yml name one that is gone"},
	{re(`guest with ID \d+ is not a`), ha.Invalid,
		"correct type in network.yml, or the VMID in .psw/converge/state.yml"},
	{re(`storage '[^']*' is not online`), ha.NotReady,
		"that node does not reach the storage's server: `pvesm status` and `showmount -e SERVER` on it"},
	{re(`is not available on node`), ha.NotReady,
		"the destination cannot use that storage: `pvesm status` there shows why"},
	{re(`Configuration file '[^']*' does not exist`), ha.NotFound,
		"the guest is on another node by now, or gone"},
	{re(`does not exist`), ha.NotFound, ""},
	{re(`no such task`), ha.NotFound, ""},
	{re(`can't migrate running VM without --online|running container needs restart mode`), ha.Conflict,
		"the guest was started meanwhile"},
	{re(`target is local node`), ha.Conflict, "the guest is there already"},
	{re(`not running|already running`), ha.Conflict, ""},
	{re(`is not a VM|is not a container|invalid VMID|unknown section type`), ha.Invalid, ""},
	{re(`can't migrate|cannot migrate|migration aborted|migration problems`), ha.Conflict,
		"the task's log says what stands in the way"},
	{re(`unexpected status`), ha.Unavailable,
		"the task's process vanished, as it does when its node goes down"},
	{re(`is not online|ipcc_send_rec`), ha.Unavailable, ""},
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// classify gives the kind of a Proxmox text and advice, if there is any.
func classify(text string) (ha.Kind, string) {
	for _, s := range sayings {
		if s.text.MatchString(text) {
			return s.kind, s.advice
		}
	}
	return ha.Internal, ""
}

// Kind is the sort of refusal: from the text where Proxmox says it by text, else from the
// status.
func (e *APIError) Kind() ha.Kind {
	k, _ := e.classify()
	return k
}

// Advice is what a person can do about it; empty if nothing general can be said.
func (e *APIError) Advice() string {
	_, a := e.classify()
	return a
}

func (e *APIError) classify() (ha.Kind, string) {
	switch e.Status {
	case http.StatusUnauthorized:
		return ha.Denied, "the API token is unknown, expired or disabled: `pveum user token list USER` shows it"
	case http.StatusForbidden:
		return ha.Denied, e.lack()
	case http.StatusNotImplemented:
		return ha.Internal, "this release of Proxmox VE does not have that call"
	case http.StatusFailedDependency:
		return ha.NotReady, "the node is in no cluster"
	}
	if e.gateway() {
		return ha.Unavailable, "a node on the way to it does not answer"
	}
	if k, advice := classify(e.Text()); k != ha.Internal {
		return k, advice
	}
	if e.Status == http.StatusBadRequest {
		return ha.Invalid, "this release of Proxmox VE takes the call otherwise than psw makes it: `pveversion` belongs into a report of it"
	}
	return ha.Internal, ""
}

// permission is how Proxmox says what a token lacks: Permission check failed (PATH, PRIVILEGE).
var permission = re(`Permission check failed \((/[^,]*), ([^)]+)\)`)

// lack says which privilege is missing, and where.
func (e *APIError) lack() string {
	const both = "with privilege separation the token and its user both need it"
	m := permission.FindStringSubmatch(e.Text())
	if m == nil {
		return "the API token lacks a privilege; " + both
	}
	return fmt.Sprintf("the API token lacks %s on %s: `pveum acl modify %s --tokens 'USER@REALM!NAME' --roles ROLE`; %s", m[2], m[1], m[1], both)
}

// kindOf finds the kind and the advice of an error of this package.
func kindOf(err error) (ha.Kind, string) {
	var known *ha.Error
	var api *APIError
	var tr *TransportError
	var blocked *BlockedError
	var task *TaskError
	switch {
	case errors.As(err, &known):
		return known.Kind, ""
	case errors.As(err, &blocked):
		return ha.Conflict, "another destination, or move the other guest first"
	case errors.As(err, &task):
		return classify(task.Status)
	case errors.As(err, &api):
		return api.classify()
	case errors.As(err, &tr):
		return ha.Unavailable, ""
	}
	return ha.Internal, ""
}

// explain makes the outermost error: "cannot WHAT: why; what to do", with its kind.
func explain(what string, err error) error {
	kind, advice := kindOf(err)
	if advice != "" {
		return ha.Errorf(kind, "cannot %s: %w; %s", what, err, advice)
	}
	return ha.Errorf(kind, "cannot %s: %w", what, err)
}
