package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// parts says of each part of a report, in a line that can be held against the recording by
// eye, what was seen: once on a node where it is well, once on one where it is not.
var parts = []struct {
	name          string
	say           func(ha.Report) string
	well, trouble string
}{
	{"watchdog", func(r ha.Report) string {
		w := r.Watchdog
		return fmt.Sprintf("%s pretimeout=%s mux=%s holders=%v options=%v blacklisted=%v systemd=%q %s",
			w.Devices[0].Driver, w.Devices[0].Pretimeout, w.MuxDevice, w.Holders, w.Options, w.Blacklisted, w.RuntimeWatchdog, w.RuntimeDevice)
	},
		`iTCO_wdt pretimeout=0s mux=/dev/watchdog holders=[] options=[{iTCO_wdt heartbeat 30} {iTCO_wdt nowayout N} {ipmi_watchdog action reset} {ipmi_watchdog nowayout N} {softdog nowayout Y} {softdog soft_noboot 1}] blacklisted=[iTCO_wdt softdog] systemd="" `,
		`i6300esb pretimeout=1m0s mux= holders=[{/dev/watchdog0 1 systemd}] options=[] blacklisted=[] systemd="10min" /dev/watchdog0`},
	{"corosync", func(r ha.Report) string {
		c := r.Corosync
		return fmt.Sprintf("%s %s secauth=%t version=%d/%d/%d token=%s/%s consensus=%s link on %s, %d times down, device %s %s %s: %s",
			c.Config.ClusterName, c.Config.Transport, c.Config.Secauth, c.ConfigVersion, c.Config.Version, c.Config.ClusterVersion, c.TokenTimeout, c.Config.Token, c.Consensus,
			c.Links[0].Interface, c.Links[0].Downs, c.Config.QDeviceModel, c.Config.QDeviceHost, c.Config.QDeviceAlgorithm, c.QDeviceState)
	},
		"home knet secauth=true version=4/4/4 token=3s/0s consensus=3.6s link on vmbr0, 0 times down, device net 10.10.0.60 ffsplit: ",
		"home udpu secauth=false version=4/5/6 token=10s/10s consensus=12s link on vmbr0, 17 times down, device net 10.10.0.60 lms: Connect failed"},
	{"declared nodes", func(r ha.Report) string { return fmt.Sprint(r.Corosync.Config.Nodes) },
		"[{1 pve1 1 [10.10.0.198]} {2 pve2 1 [10.10.0.199]}]",
		"[{1 pve1 1 [10.10.0.198]} {2 pve2 2 [10.10.0.199  10.12.0.199]}]"},
	{"HA", func(r ha.Report) string {
		return fmt.Sprintf("disarm=%q %s commands=%d failed=%v", r.HA.Disarm, r.HA.DisarmMode, r.HA.Commands, r.HA.Failed)
	},
		`disarm=""  commands=0 failed=[]`,
		`disarm="disarming" freeze commands=2 failed=[{vm:100 started 1 []}]`},
	{"clock", func(r ha.Report) string {
		c := r.Clock
		return fmt.Sprintf("%t %s max %s est %s %s from %s, stratum %d", c.Synchronized, c.Offset, c.ErrorMax, c.ErrorEstimated, c.Daemon, c.Source, c.Stratum)
	},
		"true -21µs max 17.5ms est 412µs chronyd from 10.10.0.1, stratum 3",
		"false 0s max 16s est 16s  from , stratum 0"},
	{"hardware", func(r ha.Report) string {
		w := r.Hardware
		return fmt.Sprintf("%s %s BIOS %s, x86-64-v%d %s kvm=%t guest=%t microcode %s, boots %s next, ipmi=%t", w.Vendor, w.Product, w.BIOS, w.CPULevel, w.CPUVendor, w.Virtualization, w.Hypervisor, w.Microcode, w.NewestKernel, w.IPMI)
	},
		"Dell Inc. PowerEdge R640 BIOS 2.19.1, x86-64-v3 GenuineIntel kvm=true guest=false microcode 0x5003604, boots 6.17.11-3-pve next, ipmi=true",
		"  BIOS , x86-64-v1 GenuineIntel kvm=false guest=true microcode 0x1, boots 6.8.12-9-pve next, ipmi=false"},
	{"network", func(r ha.Report) string {
		var b strings.Builder
		for _, i := range r.Interfaces {
			fmt.Fprintf(&b, "%s %s %s %d %d %v %v %s/%s %d gw=%t; ", i.Name, i.Kind, i.State, i.Speed, i.MTU, i.Addresses, i.Physical, i.BondMode, i.BondActive, i.VLAN, i.Gateway)
		}
		return b.String()
	},
		"bond0 bond up 20000 1500 [] [eno1 eno2] 802.3ad/ 0 gw=false; eno1 physical up 10000 1500 [] [eno1] / 0 gw=false; eno2 physical up 10000 1500 [] [eno2] / 0 gw=false; eno3 physical down 0 1500 [] [eno3] / 0 gw=false; vmbr0 bridge up 0 1500 [10.10.0.198/24] [eno1 eno2] / 0 gw=true; vmbr0.20 vlan up 10000 1500 [10.20.0.198/24] [eno1 eno2] / 20 gw=false; ",
		"bond0 bond up 10000 1500 [] [eno1 eno2] active-backup/eno1 0 gw=false; eno1 physical up 10000 1500 [] [eno1] / 0 gw=false; eno2 physical down 0 1500 [] [eno2] / 0 gw=false; vmbr0 bridge up 0 9000 [10.10.0.199/24 fd00::199/64] [eno1 eno2] / 0 gw=false; "},
	{"units", func(r ha.Report) string {
		var b strings.Builder
		for _, name := range []string{"pve-ha-lrm", "watchdog-mux", "pvescheduler", "sbd", "apcupsd"} {
			u, ok := r.Unit(name)
			fmt.Fprintf(&b, "%s %t %s %s %s %d; ", name, ok, u.Active, u.Sub, u.Enabled, u.Restarts)
		}
		return b.String()
	},
		"pve-ha-lrm true active running enabled 0; watchdog-mux true active running static 0; pvescheduler true active running enabled 0; sbd true active running enabled 0; apcupsd false    0; ",
		"pve-ha-lrm true failed failed enabled 5; watchdog-mux true inactive dead static 0; pvescheduler true inactive dead masked 0; sbd false    0; apcupsd false    0; "},
	{"fencing", func(r ha.Report) string { return fmt.Sprint(r.Fencing) },
		"{watchdog false [] {true true [{/dev/disk/by-id/scsi-36001405  1m0s 2m0s [{pve1 clear } {pve2 clear }]}]}}",
		"{both true [rack idrac2] {true false [{/dev/disk/by-id/scsi-36001405 sbd dump exited with 1 0s 0s []} {relative/path not the path of a device 0s 0s []}]}}"},
	{"storage", func(r ha.Report) string {
		var b strings.Builder
		for _, s := range r.Storages {
			fmt.Fprintf(&b, "%s %s shared=%t disabled=%t on %v at %s is %q; ", s.Name, s.Type, s.Shared, s.Disabled, s.Nodes, s.Path, s.Mounted)
		}
		return b.String()
	},
		`local dir shared=false disabled=false on [] at /var/lib/vz is ""; mirror dir shared=true disabled=false on [] at  is ""; nas nfs shared=true disabled=false on [] at /mnt/pve/nas is "10.10.0.50:/mnt/pool/psw"; tank zfspool shared=false disabled=false on [] at  is ""; `,
		`gone nfs shared=true disabled=false on [pve1 pve2] at /mnt/pve/gone is ""; nas nfs shared=true disabled=false on [] at /mnt/pve/nas is "10.10.0.50:/mnt/pool/psw"; usb dir shared=true disabled=true on [] at /mnt/usb is ""; `},
	{"replication", func(r ha.Report) string {
		j := r.Replications[0]
		return fmt.Sprintf("%d: %s %s to %s %q disabled=%t last %s, failed %d times: %s", len(r.Replications), j.ID, j.SID, j.Target, j.Schedule, j.Disabled, j.LastSync.Format(time.RFC3339), j.Failures, j.Error)
	},
		`1: 100-0 vm:100 to pve2 "*/15" disabled=false last 2026-11-21T12:25:00Z, failed 0 times: `,
		`1: 100-0 vm:100 to pve1 "mon..fri 22:00" disabled=true last 0001-01-01T00:00:00Z, failed 4 times: command 'zfs send' failed`},
	{"Ceph", func(r ha.Report) string {
		c := r.Ceph
		return fmt.Sprintf("%s %v %v: %s %v %d/%d stretch=%t %v %v", c.ID[:8], c.PublicNetworks, c.ClusterNetworks, c.Health, c.Checks, c.MonitorsQuorate, c.Monitors, c.StretchMode, c.Hosts, c.Pools)
	},
		"5b1c3f80 [10.20.0.0/24] [10.21.0.0/24]: HEALTH_OK [] 3/3 stretch=false [{pve1 2 2 2 0.11} {pve2 2 2 2 0.13} {pve3 2 2 2 0.15}] [{.mgr 3 2 false 0} {vms 3 2 false 0}]",
		"5b1c3f80 [10.10.0.0/24 10.20.0.0/24] []:  [] 0/0 stretch=false [] []"},
	{"NFS", func(r ha.Report) string {
		for _, m := range r.Mounts {
			if m.Path == "/mnt/pve/nas" {
				return fmt.Sprintf("%s id %q written=%t %s", m.Device, m.FilesystemID, !m.Write.At.IsZero(), m.Write.Error)
			}
		}
		return ""
	},
		`0:50 id "5ca1ab1e:7" written=true `,
		`0:50 id "" written=true permission denied`},
	{"membership", func(r ha.Report) string {
		m := r.Membership
		return fmt.Sprintf("%t %s quorate=%t %v %d keys of root, %d of the host", m.Clustered, m.ClusterName, m.Quorate, m.Members, len(m.RootKeys), len(m.HostKeys))
	},
		"true home quorate=true [{1 pve1 true 10.10.0.198} {2 pve2 true 10.10.0.199}] 0 keys of root, 1 of the host",
		"true home quorate=false [{1 pve1 true 10.10.0.198} {2 pve2 true 10.10.0.199} {3 pve3 false }] 0 keys of root, 0 of the host"},
}

func TestPartsOfAReport(t *testing.T) {
	for name, pick := range map[string]func(int) string{
		"busy.pve1":     func(k int) string { return parts[k].well },
		"troubled.pve2": func(k int) string { return parts[k].trouble },
	} {
		r := lookWriting(t, load(t, name))
		for k, part := range parts {
			if diff := cmp.Diff(pick(k), part.say(r)); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s", part.name, name, diff)
			}
		}
	}
}

// Where nothing can be seen, every part says so, and none looks well.
func TestNothingCanBeSeen(t *testing.T) {
	r := lookAt(t, newRecording("pve9"))
	silent := map[string]bool{ha.ProbeWatchdog: true, ha.ProbeCeph: true, ha.ProbeJournal: true} // without drivers there is no watchdog, without a file no Ceph, without failed jobs no journal
	for _, p := range All {
		if _, failed := r.Failed(p.Name); !failed && !silent[p.Name] && p.Name != ha.ProbePmxcfs {
			t.Errorf("%s saw something on a machine that shows nothing", p.Name)
		}
	}
	if r.Clock.Synchronized || r.Membership.Clustered || r.Corosync.Quorate || len(r.Units) > 0 || r.System.PmxcfsMounted {
		t.Errorf("out of nothing: %+v", r)
	}
}

// A node that stands alone tells the keys of root, which let it into a cluster; where pmxcfs
// lists members the cluster knows them already.
func TestNodeThatStandsAlone(t *testing.T) {
	host := load(t, "busy.pve1")
	delete(host.files, "etc/corosync/corosync.conf")
	delete(host.files, "etc/pve/corosync.conf")
	delete(host.files, "etc/ssh/ssh_host_ed25519_key.pub")
	host.add("etc/pve/.members", "{\n\"nodename\": \"pve1\",\n\"version\": 0\n}\n")
	m := lookAt(t, host).Membership
	if m.Clustered || m.ClusterName != "" || len(m.Members) != 0 || len(m.RootKeys) != 1 || len(m.HostKeys) != 1 || !strings.HasPrefix(m.HostKeys[0], "ssh-rsa AAAA") {
		t.Errorf("%+v", m)
	}
	host.add("root/.ssh/id_rsa.pub", "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n")
	r := lookAt(t, host)
	if why, failed := r.Failed(ha.ProbeMembership); !failed || strings.Contains(why, "abcdef") || len(r.Membership.RootKeys) != 0 {
		t.Errorf("a private key where a public one belongs: %s, %+v", why, r.Membership)
	}
}

// The kernel does not show soft_noboot: what modprobe or the command line sets counts, and
// only for a softdog that is there.
func TestSoftdogThatIsToldNotToReset(t *testing.T) {
	for _, tt := range []struct {
		file, text string
		loaded     string
		want       bool
	}{
		{"etc/modprobe.d/softdog.conf", "options softdog soft_margin=20 soft_noboot=1\n", "softdog", true},
		{"usr/lib/modprobe.d/softdog.conf", "options softdog soft_noboot=0\n", "softdog", false},
		{"etc/modprobe.d/softdog.conf", "# options softdog soft_noboot=1\n", "softdog", false},
		{"proc/cmdline", "quiet softdog.soft_noboot=1\n", "softdog", true},
		{"etc/modprobe.d/softdog.conf", "options softdog soft_noboot=1\n", "iTCO_wdt", false},
	} {
		host := load(t, "busy.pve1")
		delete(host.files, softNobootFile)
		delete(host.files, "proc/modules")
		delete(host.files, tt.file)
		host.add("proc/modules", tt.loaded+" 16384 1 - Live 0x0\n")
		host.add(tt.file, tt.text)
		if got := lookAt(t, host).Watchdog.SoftNoboot; got != tt.want {
			t.Errorf("%s with %q and %s: %t, want %t", tt.file, tt.text, tt.loaded, got, tt.want)
		}
		copied, _ := recordAgain(t, host)
		if got := lookAt(t, copied).Watchdog.SoftNoboot; got != tt.want {
			t.Errorf("%s with %q and %s: its recording shows %t, want %t", tt.file, tt.text, tt.loaded, got, tt.want)
		}
	}
}
