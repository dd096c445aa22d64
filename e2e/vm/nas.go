package vm

// NAS is the machine that serves the shared storage, and what can happen to it.
type NAS struct {
	l *Lab
	m *machine
}

// NAS returns the NFS server.
func (l *Lab) NAS() *NAS { return &NAS{l, l.rig.machines[len(l.rig.machines)-1]} }

// Run runs a shell script on the server; it must exit with 0.
func (n *NAS) Run(script string) string {
	n.l.t.Helper()
	out, err := n.m.run(n.l.t.Context(), script)
	n.l.must(err)
	return out
}

// StopNFS stops the NFS service: connections are refused.
func (n *NAS) StopNFS() { n.l.t.Helper(); n.Run("rpc.nfsd 0") }

// StartNFS ends StopNFS.
func (n *NAS) StartNFS() {
	n.l.t.Helper()
	n.Run("rpc.nfsd --no-udp 4; echo Y > /proc/fs/nfsd/v4_end_grace")
}

// Freeze stops the whole machine: packets are not answered.
func (n *NAS) Freeze() {
	n.l.t.Helper()
	n.l.must(n.m.qmp.run(n.l.t.Context(), "stop", nil))
}

// Thaw ends Freeze.
func (n *NAS) Thaw() {
	n.l.t.Helper()
	n.l.must(n.m.qmp.run(n.l.t.Context(), "cont", nil))
}

// Unexport withdraws the export: clients are refused.
func (n *NAS) Unexport() { n.l.t.Helper(); n.Run("exportfs -ua && exportfs -f") }

// Export ends Unexport.
func (n *NAS) Export() { n.l.t.Helper(); n.Run("exportfs -ra && exportfs -f") }

// AddExport has it export one more folder, besides the shared storage's.
func (n *NAS) AddExport(name string) {
	n.l.t.Helper()
	n.Run("mkdir -p /nfsroot/" + name + "; exportfs -o rw,sync,no_subtree_check,no_root_squash,insecure,fsid=2 10.10.2.0/24:/" + name + " && exportfs -f")
}

// Try runs a shell script on the server and returns what it prints and its exit code.
func (n *NAS) Try(script string) (out string, code int) {
	n.l.t.Helper()
	out, code, err := n.m.agent.exec(n.l.t.Context(), script)
	n.l.must(err)
	return out, code
}
