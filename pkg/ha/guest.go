package ha

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// GuestKind tells a virtual machine from a container.
type GuestKind string

// The two kinds of guest, spelled as the HA stack spells them in a SID.
const (
	VM GuestKind = "vm"
	CT GuestKind = "ct"
)

// SID names a guest as the HA stack does: vm:100, ct:101. It is used for guests that
// are not HA-managed as well, so that there is one name per guest.
type SID struct {
	Kind GuestKind
	ID   int
}

// ParseSID reads "vm:100" or "ct:101". Any other form is an Invalid error.
func ParseSID(s string) (SID, error) {
	kind, id, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(id)
	if !ok || err != nil || n <= 0 || (kind != string(VM) && kind != string(CT)) {
		return SID{}, Errorf(Invalid, "%q is not a guest name: want vm:ID or ct:ID", s)
	}
	return SID{Kind: GuestKind(kind), ID: n}, nil
}

// MustSID is ParseSID for constants in tests and tables; it panics on a bad name.
func MustSID(s string) SID {
	sid, err := ParseSID(s)
	if err != nil {
		panic(err)
	}
	return sid
}

func (s SID) String() string { return fmt.Sprintf("%s:%d", s.Kind, s.ID) }

// IsZero reports whether s names no guest.
func (s SID) IsZero() bool { return s == SID{} }

// Compare orders SIDs as the HA manager does: byte-wise by their text, so that
// vm:1000 comes before vm:101 (pve-ha-manager 5.2.0 sorts service ids as strings).
func (s SID) Compare(o SID) int {
	if c := cmp.Compare(s.Kind, o.Kind); c != 0 {
		return c
	}
	// Numbers as text, on the stack: a planner compares SIDs by the million.
	var a, b [20]byte
	return cmp.Compare(string(strconv.AppendInt(a[:0], int64(s.ID), 10)), string(strconv.AppendInt(b[:0], int64(o.ID), 10)))
}

// MarshalText writes vm:100.
func (s SID) MarshalText() ([]byte, error) {
	if s.IsZero() {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads vm:100; an empty text is the zero SID.
func (s *SID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = SID{}
		return nil
	}
	v, err := ParseSID(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// GuestStatus is the status column of GET /cluster/resources.
type GuestStatus string

// Statuses Proxmox reports. A guest on a node that just lost power still reads
// "running" for minutes (series2 recordings, surprise 6): never proof of life.
const (
	GuestRunning GuestStatus = "running"
	GuestStopped GuestStatus = "stopped"
	GuestUnknown GuestStatus = "unknown"
)

// Guest is a virtual machine or container that exists, as GET /cluster/resources
// shows it.
type Guest struct {
	SID    SID         `json:"sid"`
	Name   string      `json:"name"`
	Node   NodeName    `json:"node"`
	Status GuestStatus `json:"status"`
	// Template is true for a template, which is never moved or started.
	Template bool `json:"template,omitempty"`
	// Lock is the config lock (migrate, backup, …), empty if none.
	Lock string `json:"lock,omitempty"`
	// CPUs is the number of assigned processors; a container's may be fractional.
	CPUs float64 `json:"cpus"`
	// MemoryMax is the assigned memory, MemoryUsed what it uses now, both in bytes.
	MemoryMax  int64 `json:"memory_max"`
	MemoryUsed int64 `json:"memory_used,omitempty"`
	// DiskMax is the size of the root disk in bytes.
	DiskMax int64 `json:"disk_max,omitempty"`
	// Uptime is the time since its start; 0 when stopped.
	Uptime time.Duration `json:"uptime,omitempty"`
	Tags   []string      `json:"tags,omitempty"`
	// HAState is the raw CRM state (hastate), empty if not HA-managed.
	HAState string `json:"ha_state,omitempty"`
}

// Running reports whether the API calls the guest running.
func (g Guest) Running() bool { return g.Status == GuestRunning }
