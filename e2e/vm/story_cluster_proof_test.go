//go:build vm

package vm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The proof that storage is shared, against a real NFS server: one agent writes a word under
// a lock, the others look for it. It passes while every node mounts the same export, and
// unmasks whatever else is on that path of a node, however it is called.
func TestTheStorageIsProvedShared(t *testing.T) {
	lab := share(t, nodes...)
	proved(t, lab)
	pve3 := lab.Node("pve3")
	for _, cause := range []struct {
		name, break_ string
		// words are in what pve3 says it met; codes are what is found besides.
		words string
		codes []ha.Code
	}{
		{"nothing is mounted on pve3: the folder is its own", "true", "nothing is mounted on /mnt/shared", []ha.Code{check.NFSNotMounted}},
		{"pve3 has a local folder mounted there", "mkdir -p /srv/local && mount --bind /srv/local /mnt/shared", "what the other node wrote is not there", []ha.Code{check.NFSNotMounted}},
		{"pve3 mounts another export there", "mount -t nfs -o vers=4.2,hard 10.10.2.10:/other /mnt/shared", "what the other node wrote is not there", []ha.Code{check.NFSWrongSource, check.StorageProvedNotShared}},
	} {
		t.Logf("         -- %s", cause.name)
		lab.NAS().AddExport("other")
		pve3.Unmount()
		pve3.Run(cause.break_)
		unmasked(t, lab.Prove(), cause.words)
		for _, code := range cause.codes {
			lab.AwaitFinding(code, "pve3", ha.Fail, 15*time.Second)
		}
		pve3.Unmount()
		pve3.Mount()
	}
	sameNameAnotherServer(t, lab)
	proved(t, lab)
}

// sameNameAnotherServer has another server answer to pve3 by the NFS server's address, as a
// wrong VLAN or an address given twice would. Server, export and the file system's id are
// the same everywhere, all mounts answer and can be written, and what one node writes
// another does not see. Only trying it tells.
func sameNameAnotherServer(t *testing.T, lab *vm.Lab) {
	t.Helper()
	t.Log("         -- another server answers to pve3 by the same address, with an export of the same name")
	pve3 := lab.Node("pve3")
	pve3.Unmount()
	pve3.Impersonate()
	pve3.Mount()
	unmasked(t, lab.Prove(), "what the other node wrote is not there")
	lab.AwaitFinding(check.StorageProvedNotShared, "pve3", ha.Fail, 15*time.Second)
	for _, code := range []ha.Code{check.NFSNotMounted, check.NFSNotAnswering, check.NFSWrongSource} {
		lab.AwaitFinding(code, "pve3", ha.Pass, 15*time.Second)
	}
	for _, code := range []ha.Code{check.NFSSourceDiffers, check.NFSFilesystemDiffers} {
		lab.AwaitFinding(code, "cluster", ha.Pass, 15*time.Second)
	}
	pve3.Unmount()
	pve3.StopImpersonating()
	pve3.Mount()
}

// unmasked sees that a proof found pve3, and nobody else, to have another storage.
func unmasked(t *testing.T, p ha.Proof, words string) {
	t.Helper()
	for _, r := range p.Results {
		switch {
		case r.Storage == nil:
			t.Errorf("%s told nothing: %s", r.Node, r.Fault)
		case r.Node != "pve3" && (!r.Storage.Seen || !r.Storage.Written):
			t.Errorf("%s mounts the right export, and met %+v", r.Node, *r.Storage)
		case r.Node == "pve3" && (r.Storage.Seen || !strings.Contains(r.Storage.ReadFault, words)):
			t.Errorf("pve3 met %+v, want %q", *r.Storage, words)
		case r.Node == "pve3":
			t.Logf("          pve3 says: %s", r.Storage.ReadFault)
		}
	}
}

// proved sees that a proof passes, by every node's word and by the judge's, and that
// nothing stays of it.
func proved(t *testing.T, lab *vm.Lab) {
	t.Helper()
	p := lab.Prove()
	if without, shared := p.Shared([]ha.NodeName{"pve1", "pve2", "pve3"}); !shared {
		t.Fatalf("it is not shared, by %v: %+v", without, p.Results)
	}
	for _, r := range p.Results {
		if s := r.Storage; s.Lock == ha.LockNone || s.Source != "10.10.2.10:/export" || s.FSID != p.Results[0].Storage.FSID || s.File != p.Results[0].Storage.File {
			t.Errorf("%s met %+v", r.Node, *s)
		}
	}
	for _, node := range nodes {
		lab.AwaitFinding(check.StorageProvedNotShared, node, ha.Pass, 15*time.Second)
	}
	for _, code := range []ha.Code{check.StorageNotProvedShared, check.FilesystemIDDiffers, check.StorageNoLocks} {
		lab.AwaitFinding(code, vm.Storage, ha.Pass, 15*time.Second)
	}
	lab.Watch("the word is removed again", 10*time.Second, func() string {
		return lab.Node("pve2").Run("find /mnt/shared/.psw-ha -name 'proof-*'")
	})
}
