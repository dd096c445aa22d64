package vm

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// conductor is the real psw-coordinator on the host, and the operator's connection to it.
// What the Proxmox API would say comes from a simulated cluster of the same names, whose
// nodes are always well: what is wrong in a story, agents saw in the machines.
type conductor struct {
	*rpc.Operator
	cmd  *exec.Cmd
	done chan struct{}
	apis []*httptest.Server
	log  string
}

// simulated API access. The token opens nothing but a simulation.
const (
	tokenUser   = "psw@pve"
	tokenName   = "ha"
	tokenSecret = "5a8d2f0e-9c41-4b7e-a3d6-1f0b7c2e4d90"
)

// policy is what the lab's network.yml would declare.
func policy() *ha.Policy {
	p := &ha.Policy{Project: "lab", Cluster: ha.ClusterPolicy{Name: "lab",
		Storage: &ha.SharedStorage{Type: "nfs", Server: nasAddress, Export: "/export", Mount: sharedPath}}}
	for _, n := range nodeNames {
		p.Cluster.Nodes = append(p.Cluster.Nodes, ha.NodeName(n))
	}
	return p
}

// simulated is the cluster that the API shows.
func simulated() *pvesim.Cluster {
	s := pvesim.Spec{Name: "lab", Tokens: []pvesim.TokenSpec{{User: tokenUser, ID: tokenName, Secret: tokenSecret}},
		Storages: []pvesim.StorageSpec{
			{ID: "local", Type: "dir", Content: []string{"iso", "vztmpl", "backup"}, Path: "/var/lib/vz"},
			{ID: Storage, Type: "nfs", Server: nasAddress, Export: "/export", Path: sharedPath, Content: []string{"images", "rootdir"}, Size: 1 << 40},
		}}
	for k, n := range nodeNames {
		s.Nodes = append(s.Nodes, pvesim.NodeSpec{Name: n, Address: fmt.Sprintf("10.10.0.%d", k+1)})
	}
	return pvesim.New(s)
}

// startConductor starts a coordinator that knows nothing yet.
func (r *Rig) startConductor(ctx context.Context, dir string) (_ *conductor, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &conductor{log: filepath.Join(dir, "coordinator.log")}
	defer func() {
		if err != nil {
			c.end()
		}
	}()
	endpoints, ca := c.serveAPI(dir)
	if err := os.WriteFile(ca.path, ca.pem, 0o600); err != nil {
		return nil, err
	}
	none := filepath.Join(dir, "none.env")
	talk, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer talk.Close()
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(r.o.Cache, "bin", "psw-coordinator"), "serve", "--config", none)
	address := hostAddress + ":" + rpcPort
	cmd.Env = append(slices.Clone(r.environ),
		"PSW_HA_LISTEN="+address, "PSW_HA_ADVERTISE="+address, "PSW_HA_STATE="+filepath.Join(dir, "state.db"), "PSW_HA_TLS_DIR="+r.pki.coordinator,
		"PSW_HA_PVE_ENDPOINTS="+strings.Join(endpoints, ","), "PSW_HA_PVE_TOKEN_ID="+tokenUser+"!"+tokenName,
		"PSW_HA_PVE_TOKEN_SECRET="+tokenSecret, "PSW_HA_PVE_CA_FILE="+ca.path, "PSW_HA_INTERVAL=1s", "PSW_HA_NAME=coordinator",
		"PSW_HA_GOSSIP_BIND="+hostAddress+":"+gossipPort, "PSW_HA_GOSSIP_KEY_FILE="+r.pki.gossipKey,
		"PSW_HA_GOSSIP_PEERS="+storageAddress(1)+":"+gossipPort+","+storageAddress(2)+":"+gossipPort+","+storageAddress(3)+":"+gossipPort)
	cmd.Stdout, cmd.Stderr = talk, talk
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.cmd, c.done = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(c.done) }()
	tls, err := rpc.ClientTLS(rpc.FilesIn(r.pki.operator, rpc.RoleOperator), rpc.RoleCoordinator)
	if err != nil {
		return nil, err
	}
	if c.Operator, err = rpc.DialOperator([]string{address}, tls); err != nil {
		return nil, err
	}
	return c, eventually(ctx, time.Minute, "the coordinator answers", func(ctx context.Context) error {
		_, err := c.Facts(ctx, policy())
		return err
	})
}

type caFile struct {
	path string
	pem  []byte
}

// serveAPI serves the simulated nodes' APIs on the sandbox's loopback.
func (c *conductor) serveAPI(dir string) (endpoints []string, ca caFile) {
	cluster := simulated()
	for _, n := range nodeNames {
		s := httptest.NewUnstartedServer(cluster.API(n))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		c.apis = append(c.apis, s)
		endpoints = append(endpoints, s.URL)
	}
	var cert *x509.Certificate = c.apis[0].Certificate()
	return endpoints, caFile{filepath.Join(dir, "pve-root-ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
}

// end stops it and what it talked to.
func (c *conductor) end() {
	if c.Operator != nil {
		_ = c.Operator.Close()
	}
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(syscall.SIGKILL) // it is made for that
		<-c.done
	}
	for _, s := range c.apis {
		s.CloseClientConnections()
		s.Close()
	}
}
