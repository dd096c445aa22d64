package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/project"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// connection is how to reach the coordinator. What is more specific wins: flags, then
// the environment, then PROJECT/.psw/ha/client.json, then the defaults.
type connection struct {
	addresses []string
	tls       string // the folder with ca.crt, operator.crt and operator.key
}

// clientFile is PROJECT/.psw/ha/client.json. Its tls is relative to the file's folder.
type clientFile struct {
	Coordinator []string `json:"coordinator"`
	TLS         string   `json:"tls"`
}

// with runs do with a connection to the coordinator.
func (a *app) with(do func(op *rpc.Operator) error) error {
	op, err := a.dial()
	if err != nil {
		return err
	}
	defer op.Close()
	return do(op)
}

// dial connects to the coordinator. Whatever is missing for it is said with the file's
// name and the command that makes it.
func (a *app) dial() (*rpc.Operator, error) {
	c, err := a.connection()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"ca.crt", "operator.crt", "operator.key"} {
		if _, err := os.Stat(filepath.Join(c.tls, name)); err != nil {
			return nil, missingFile(c.tls, name, err)
		}
	}
	tls, err := rpc.ClientTLS(rpc.FilesIn(c.tls, rpc.RoleOperator), rpc.RoleCoordinator)
	if err != nil {
		return nil, exit(exitFailed, "cannot use the certificates in %s: %v", c.tls, err)
	}
	if a.flags.verbose {
		a.talk("coordinator %s, certificates in %s", strings.Join(c.addresses, ", "), c.tls)
	}
	return rpc.DialOperator(c.addresses, tls, a.dialOptions...)
}

func missingFile(dir, name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return exit(exitFailed, "cannot read %s: %v", filepath.Join(dir, name), err)
	}
	return exit(exitFailed, "cannot identify to the coordinator: %s does not exist; where the CA is, run "+
		"`psw-coordinator ca issue operator YOUR-NAME --out DIR`, put the three files it makes into %s, or say --tls DIR",
		filepath.Join(dir, name), dir)
}

func (a *app) connection() (connection, error) {
	c := connection{addresses: a.flags.coordinators, tls: a.flags.tls}
	if len(c.addresses) == 0 {
		list, err := addressList(a.env["PSW_HA_COORDINATOR"])
		if err != nil {
			return c, err
		}
		c.addresses = list
	}
	if len(c.addresses) > 0 && c.tls != "" {
		return c, nil // nothing is left that a project could say
	}
	dir, err := a.projectDir()
	if err != nil {
		return c, err
	}
	home := filepath.Join(dir, ".psw", "ha")
	file, err := readClientFile(filepath.Join(home, "client.json"))
	if err != nil {
		return c, err
	}
	if len(c.addresses) == 0 {
		c.addresses = file.Coordinator
	}
	if c.tls == "" {
		c.tls = file.TLS
		if !filepath.IsAbs(c.tls) {
			c.tls = filepath.Join(home, c.tls)
		}
	}
	if len(c.addresses) == 0 {
		return c, exit(exitUsage, `cannot tell where the coordinator is: write {"coordinator": ["HOST:PORT"]} into %s, set PSW_HA_COORDINATOR=HOST:PORT, or say --coordinator HOST:PORT`,
			filepath.Join(home, "client.json"))
	}
	return c, nil
}

// addressList reads addresses separated by commas.
func addressList(text string) ([]string, error) {
	var list []string
	for addr := range strings.SplitSeq(text, ",") {
		addr = strings.TrimSpace(addr)
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, exit(exitUsage, "PSW_HA_COORDINATOR holds %q, which is not host:port", addr)
		}
		list = append(list, addr)
	}
	return list, nil
}

// readClientFile reads client.json; one that does not exist says nothing.
func readClientFile(path string) (clientFile, error) {
	var f clientFile
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, exit(exitFailed, "cannot read how to reach the coordinator: %v", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, exit(exitUsage, `cannot read %s: %v; it should look like {"coordinator": ["HOST:PORT"], "tls": "DIR"}`, path, err)
	}
	for _, addr := range f.Coordinator {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return f, exit(exitUsage, "cannot use %s: %q is not host:port", path, addr)
		}
	}
	return f, nil
}

// projectDir is -C, or the nearest folder upwards that holds network.yml.
func (a *app) projectDir() (string, error) {
	if a.flags.project != "" {
		if _, err := os.Stat(filepath.Join(a.flags.project, "network.yml")); err != nil {
			return "", exit(exitUsage, "%s is no project: it holds no network.yml; say -C DIR with the folder that does", a.flags.project)
		}
		return a.flags.project, nil
	}
	dir, err := project.Find(".")
	if err != nil {
		return "", exit(exitUsage, "%v (or reach a coordinator without a project: --coordinator HOST:PORT --tls DIR)", err)
	}
	return dir, nil
}

// policy is the project's, to be judged and planned by. It is nil where psw runs outside
// a project, with --coordinator and --tls: then the coordinator's own copy counts. A
// project with faults is refused.
func (a *app) policy() (*ha.Policy, error) {
	dir, err := a.projectDir()
	if err != nil && a.flags.project == "" && len(a.flags.coordinators) > 0 && a.flags.tls != "" {
		return nil, nil //nolint:nilerr // outside of a project and told where to ask: there is none to send
	}
	if err != nil {
		return nil, err
	}
	p, err := project.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot use the project in %s: %w", dir, err)
	}
	return &p.Policy, nil
}

// knownPolicy is the project's if it can be read. The status of a cluster is shown even
// with a broken network.yml; then the coordinator's own copy counts.
func (a *app) knownPolicy() *ha.Policy {
	p, err := a.policy()
	if err != nil {
		return nil
	}
	return p
}
