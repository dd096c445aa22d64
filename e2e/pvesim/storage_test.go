package pvesim_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// mounts reports whether something of an export is mounted on a node.
func (s site) mounts(node, export string) bool {
	s.t.Helper()
	return strings.Contains(readFile(s.t, s.Host(node), "proc/self/mountinfo"), export+" ")
}

const nfs = "storage=psw&type=nfs&server=10.99.9.1&export=/pool&path=/mnt/shared&content=images,rootdir&options=vers%3D4.2"

// A new NFS storage is mounted at once on the node that was asked, and on the others within
// pvestatd's next round; what it was made with cannot be changed, and a changed option waits
// for the next mount.
func TestNFSIsMountedEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{start(t, threeNodes()), t}
		time.Sleep(time.Minute)
		s.data("pve1", "POST", "/storage", nfs, nil)
		if !s.mounts("pve1", "10.99.9.1:/pool") || s.mounts("pve2", "10.99.9.1:/pool") {
			t.Error("right after it was made it is not mounted on pve1, or already on pve2")
		}
		time.Sleep(11 * time.Second)
		for _, node := range s.Nodes() {
			if !s.mounts(node, "10.99.9.1:/pool") {
				t.Errorf("%s has not mounted it within pvestatd's round", node)
			}
		}
		if a := s.call("pve1", "PUT", "/storage/psw", "server=10.99.9.2"); a.code != 500 || !strings.Contains(a.reason, "can't change value of fixed parameter 'server'") {
			t.Errorf("another server: %d %s", a.code, a.reason)
		}
		if a := s.call("pve1", "PUT", "/storage/psw", "export=/other"); a.code != 400 {
			t.Errorf("another export: %d %s", a.code, a.reason)
		}
		s.data("pve1", "PUT", "/storage/psw", "options=vers%3D3&content=images", nil)
		if text := readFile(t, s.Host("pve2"), "proc/self/mountinfo"); !strings.Contains(text, "vers=4.2") || strings.Contains(text, "vers=3,") {
			t.Errorf("an option changed under a mount:\n%s", text)
		}
		s.data("pve1", "DELETE", "/storage/psw", "", nil)
		if s.mounts("pve1", "10.99.9.1:/pool") || !s.mounts("pve2", "10.99.9.1:/pool") {
			t.Error("deleting it unmounts it where that was asked, and nowhere else")
		}
	})
}

// A node without a way to the server refuses a storage for the whole cluster; asked of a
// node that has one it is made, and the first does not mount it.
func TestANodeWithoutAWayToTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{start(t, threeNodes()), t}
		time.Sleep(time.Minute)
		s.CutNFSServer("10.99.9.1", "pve1")
		began := time.Now()
		if a := s.call("pve1", "POST", "/storage", nfs); a.code != 500 || a.reason != "create storage failed: storage 'psw' is not online" || time.Since(began) < 5*time.Second {
			t.Errorf("from pve1: %d %s after %s", a.code, a.reason, time.Since(began))
		}
		s.data("pve2", "POST", "/storage", nfs, nil)
		time.Sleep(time.Minute)
		if s.mounts("pve1", "10.99.9.1:/pool") || !s.mounts("pve3", "10.99.9.1:/pool") {
			t.Error("pve1 has mounted it, or pve3 has not")
		}
		var st struct{ Active int }
		if s.data("pve3", "GET", "/nodes/pve1/storage/psw/status", "", &st); st.Active != 0 {
			t.Error("it is active on pve1")
		}
		s.HealNFSServer("10.99.9.1")
		time.Sleep(11 * time.Second)
		if !s.mounts("pve1", "10.99.9.1:/pool") {
			t.Error("with a way to the server pve1 does not mount it")
		}
	})
}

// A server may refuse an export to one node only.
func TestAnExportThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{start(t, threeNodes()), t}
		time.Sleep(time.Minute)
		s.RefuseExport("10.99.9.1:/pool", "pve2")
		if a := s.call("pve2", "POST", "/storage", nfs); !strings.Contains(a.reason, "access denied by server while mounting 10.99.9.1:/pool") {
			t.Errorf("from pve2: %d %s", a.code, a.reason)
		}
		s.data("pve1", "POST", "/storage", nfs, nil)
		time.Sleep(time.Minute)
		if s.mounts("pve2", "10.99.9.1:/pool") || !s.mounts("pve3", "10.99.9.1:/pool") {
			t.Error("pve2 has mounted it, or pve3 has not")
		}
		s.GrantExport("10.99.9.1:/pool")
		time.Sleep(11 * time.Second)
		if !s.mounts("pve2", "10.99.9.1:/pool") {
			t.Error("once it is granted pve2 does not mount it")
		}
	})
}
