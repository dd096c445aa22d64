package project

import (
	"errors"
	"io/fs"
	"strconv"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// stateFile is where PSW's convergence keeps what it made, VMIDs among it. Its form is
// PSW's own affair, so it is read leniently: what is not understood is left to the
// guest's name, which is the other way to find a target's guest.
const stateFile = ".psw/converge/state.yml"

// Bounds of a VMID (format pve-vmid of Proxmox's API).
const (
	vmidMin = 100
	vmidMax = 999999999
)

// readState fills in the VMIDs of targets, in place. A target is looked for under
// targets, else at the top; its number under vmid, vm_id, ctid or ct_id.
func readState(src *source, fsys fs.FS, targets []ha.Target) {
	data, err := readFile(fsys, src.file)
	if errors.Is(err, errAbsent) {
		return
	}
	if err != nil {
		src.warn(place{}, stateFix, "%v", err)
		return
	}
	defer src.lenient()
	root, ok := src.parse(data)
	if !ok {
		return
	}
	list := root.child("targets")
	if list.node == nil {
		list = root
	}
	owner := map[int]int{} // of a VMID: index of the target
	for k := range targets {
		t := &targets[k]
		if t.Type == ha.TargetBare {
			continue
		}
		vmid, at := list.child(t.Name).vmid()
		if vmid == 0 {
			continue
		}
		if first, taken := owner[vmid]; taken {
			src.warn(at, stateFix, "%s and %s have the same VMID %d; neither is believed", targets[first].Name, t.Name, vmid)
			targets[first].VMID = 0
			continue
		}
		owner[vmid] = k
		t.VMID = vmid
	}
}

const stateFix = "let convergence write it anew; until then a target's guest is the one of the same name"

// vmid reads the VMID of a target's entry, and where it stands; 0 if there is none.
func (v value) vmid() (int, place) {
	for _, key := range []string{"vmid", "vm_id", "ctid", "ct_id"} {
		field := v.child(key)
		if !field.given() {
			continue
		}
		text, ok := scalarText(field.resolve())
		id, err := strconv.Atoi(text)
		if ok && err == nil && id >= vmidMin && id <= vmidMax {
			return id, field.at
		}
		v.src.warn(field.at, stateFix, "%s is no VMID: a number from %d to %d", field.path, vmidMin, vmidMax)
		return 0, place{}
	}
	return 0, place{}
}
