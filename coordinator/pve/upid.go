package pve

import (
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// UPID is Proxmox's name of a task:
// UPID:node1:00000DE6:0004ECAB:6B00E143:qmigrate:100:root@pam!lab:
type UPID struct {
	Node    ha.NodeName
	PID     int
	PStart  uint64 // the process's start in clock ticks since boot
	Started time.Time
	Type    string // qmigrate, vzmigrate, hamigrate, qmstart, …
	ID      string // what it works on, a guest's number as text; may be empty
	User    string
	text    string
}

func (u UPID) String() string { return u.text }

// ParseUPID reads a UPID; any other text is an Invalid error. The node's name goes into
// request paths, so it is held to what a host name may be.
func ParseUPID(s string) (UPID, error) {
	bad := func(what string) (UPID, error) {
		return UPID{}, ha.Errorf(ha.Invalid, "%q is not a Proxmox task: %s", excerpt([]byte(s)), what)
	}
	f := strings.Split(s, ":")
	if len(f) != 9 || f[0] != "UPID" || f[8] != "" {
		return bad("want UPID:NODE:PID:PSTART:TIME:TYPE:ID:USER:")
	}
	if !hostName(f[1]) {
		return bad("no node name")
	}
	pid, err1 := strconv.ParseUint(f[2], 16, 32)
	pstart, err2 := strconv.ParseUint(f[3], 16, 64)
	started, err3 := strconv.ParseUint(f[4], 16, 32)
	if err1 != nil || err2 != nil || err3 != nil {
		return bad("pid or time is not hexadecimal")
	}
	for _, part := range f[5:8] {
		if strings.ContainsAny(part, "/ \t\r\n?#%") {
			return bad("it has characters no task has")
		}
	}
	if f[5] == "" || f[7] == "" {
		return bad("no type or no user")
	}
	return UPID{
		Node: ha.NodeName(f[1]), PID: int(pid), PStart: pstart, Started: time.Unix(int64(started), 0).UTC(),
		Type: f[5], ID: f[6], User: f[7], text: s,
	}, nil
}

// hostName reports whether s can be the name of a Proxmox node.
func hostName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, r := range s {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-') {
			return false
		}
	}
	return true
}
