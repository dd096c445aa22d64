package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// askBMCMax is how long a BMC may take: three tries of two seconds and the session's
	// beginning and end. The slow ones take four seconds for it.
	askBMCMax = 15 * time.Second
	// powerOffMax is how long a machine may take to lose power once its BMC was told.
	powerOffMax = 30 * time.Second
	// powerPause is between two looks at whether it has.
	powerPause = time.Second
	// secretSizeMax bounds what is read of a BMC's file.
	secretSizeMax = 4 << 10
)

// bmc is a BMC as this node's own file knows it. The password is in the same file and is
// never read by us: see probe.IPMIArguments.
type bmc struct {
	file    string
	user    string
	address netip.Addr
}

// openBMC reads what a node's file says of a BMC: its first line is the password, the lines
// after it are "user NAME" and "address IP". The address must be the ordered one: a
// password is not shown to whoever answers at an address somebody else names.
func (a *Agent) openBMC(node ha.NodeName, address netip.Addr, secret string) (bmc, error) {
	if secret == "" {
		secret = "bmc/" + string(node)
	}
	if !probe.BMCSecret(secret) {
		return bmc{}, fmt.Errorf("%q is no name of a BMC's secret: want bmc/NAME", secret)
	}
	b := bmc{file: filepath.Join(a.config.SecretDir, secret)}
	f, err := a.host.Open(strings.TrimPrefix(b.file, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return b, fmt.Errorf("there is no %s: its lines are the password, `user NAME` and `address %s`", b.file, address)
	}
	if err != nil {
		return b, err
	}
	defer f.Close()
	if err := private(f, b.file); err != nil {
		return b, err
	}
	return parseBMC(f, b.file, address)
}

// parseBMC reads a BMC's file, which must be for the BMC at address.
func parseBMC(r io.Reader, file string, address netip.Addr) (bmc, error) {
	b := bmc{file: file}
	lines := bufio.NewScanner(io.LimitReader(r, secretSizeMax))
	lines.Scan() // the password: ipmitool's business
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch value = strings.TrimSpace(value); key {
		case "user":
			b.user = value
		case "address":
			b.address, _ = netip.ParseAddr(value) // an invalid one equals no other
		}
	}
	switch {
	case !probe.BMCUser.Matches(b.user):
		return b, fmt.Errorf("%s names no user of the BMC: want a line `user NAME` after the password", b.file)
	case b.address != address:
		return b, fmt.Errorf("%s is not for the BMC at %s: want a line `address %s` in it, if it is", b.file, address, address)
	}
	return b, nil
}

// private fails if others than root may read a file, or write it.
func private(f fs.File, name string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", name)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others: chmod 600 %s, and give the BMC a new password", name, name)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to somebody else: chown root %s", name, name)
	}
	return nil
}

// ask runs ipmitool and says what the BMC answered. The error is that there was no answer.
func (b bmc) ask(ctx context.Context, h probe.Host, command string) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askBMCMax)
	defer cancel()
	out, err := h.Run(ctx, "ipmitool", probe.IPMIArguments(b.address, b.user, b.file, command)...)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("ipmitool is not installed here: apt install ipmitool")
	}
	return cut(out), err
}

func (b bmc) power(ctx context.Context, h probe.Host) (ha.PowerSight, error) {
	began := time.Now()
	out, err := b.ask(ctx, h, "status")
	if err != nil {
		return ha.PowerSight{}, err
	}
	sight := ha.PowerSight{State: ha.PowerUnknown, Took: time.Since(began)}
	on, err := probe.ParsePowerStatus(out)
	switch {
	case err != nil:
		sight.Said = err.Error()
	case on:
		sight.State = ha.PowerOn
	default:
		sight.State = ha.PowerOff
	}
	return sight, nil
}

// powerStatus asks another node's BMC whether that node has power, and nothing else.
func (a *Agent) powerStatus(ctx context.Context, deed ha.PowerStatus) ha.OrderResult {
	b, err := a.openBMC(deed.Node, deed.Address, deed.Secret)
	if err != nil {
		return refused("%v", err)
	}
	sight, err := b.power(ctx, a.host)
	if err != nil {
		return ha.OrderResult{Failed: fmt.Sprintf("the BMC of %s at %s: %v", deed.Node, deed.Address, err)}
	}
	return ha.OrderResult{Power: &sight}
}

// cutPower tells another node's BMC to cut the power. The coordinator has judged that it
// may be; this is the second judgement, by what this node knows itself: its own
// configuration, its own quorum, and the HA manager's own word that the node is out of
// service.
func (a *Agent) cutPower(ctx context.Context, deed ha.CutPower, expires time.Time) ha.OrderResult {
	if !a.config.AllowPowerOff {
		return refused("this agent may not cut anybody's power: set PSW_HA_ALLOW_POWER_OFF=yes in its configuration, if it shall")
	}
	if deed.Node == a.config.Node {
		return refused("a node does not cut its own power")
	}
	if err := a.outOfService(ctx, deed.Node); err != nil {
		return refused("%v", err)
	}
	b, err := a.openBMC(deed.Node, deed.Address, deed.Secret)
	if err != nil {
		return refused("%v", err)
	}
	before, err := b.power(ctx, a.host)
	switch {
	case err != nil:
		return refused("its BMC at %s cannot be asked: %v", deed.Address, err)
	case before.State == ha.PowerUnknown:
		return refused("its BMC at %s does not say whether %s has power: %s", deed.Address, deed.Node, before.Said)
	case before.State != ha.PowerOn:
		return refused("its BMC says that the power of %s is off already", deed.Node)
	case time.Now().After(expires):
		return refused("the order expired while the BMC was asked")
	}
	began := time.Now()
	out, err := b.ask(ctx, a.host, "off")
	if err != nil {
		return ha.OrderResult{Failed: fmt.Sprintf("the BMC of %s at %s: %v", deed.Node, deed.Address, err), Output: out}
	}
	for {
		sight, err := b.power(ctx, a.host)
		if err == nil && sight.State == ha.PowerOff {
			sight.Took = time.Since(began)
			return ha.OrderResult{Power: &sight, Output: out}
		}
		if time.Since(began) > powerOffMax {
			return notOff(deed, sight, err, out)
		}
		select {
		case <-time.After(powerPause):
		case <-ctx.Done():
			return ha.OrderResult{Failed: fmt.Sprintf("the BMC of %s was told to cut the power, and whether it is off was not seen: %v", deed.Node, ctx.Err()), Output: out}
		}
	}
}

// notOff is what became of an order to cut the power where it was not seen to be off in time.
func notOff(deed ha.CutPower, last ha.PowerSight, err error, output string) ha.OrderResult {
	r := ha.OrderResult{Output: output}
	why := err
	if err == nil {
		r.Power, why = &last, fmt.Errorf("it says that it is %s", last.State)
	}
	r.Failed = fmt.Sprintf("the BMC of %s was told to cut the power, and %s later it is not seen to be off: %v", deed.Node, powerOffMax, why)
	return r
}

// outOfService fails unless this node has quorum and the HA manager keeps node in
// maintenance.
func (a *Agent) outOfService(ctx context.Context, node ha.NodeName) error {
	type files struct{ members, manager []byte }
	got, err := onPmxcfs(ctx, a, readMax, "/etc/pve", func() (f files, err error) {
		if f.members, err = a.readFile("etc/pve/.members"); err == nil {
			f.manager, err = a.readFile("etc/pve/ha/manager_status")
		}
		return f, err
	})
	if err != nil {
		return fmt.Errorf("it cannot be seen whether %s is out of service: %w", node, err)
	}
	var list struct {
		Cluster struct {
			Quorate int `json:"quorate"`
		} `json:"cluster"`
	}
	var manager struct {
		Nodes map[ha.NodeName]string `json:"node_status"`
	}
	if err := errors.Join(json.Unmarshal(got.members, &list), json.Unmarshal(got.manager, &manager)); err != nil {
		return fmt.Errorf("it cannot be seen whether %s is out of service: %w", node, err)
	}
	if list.Cluster.Quorate != 1 {
		return fmt.Errorf("%s has no quorum", a.config.Node)
	}
	if state := manager.Nodes[node]; state != ha.NodeMaintenance {
		return fmt.Errorf("the HA manager has %s as %q, not in maintenance: psw maintenance start %s", node, state, node)
	}
	return nil
}
