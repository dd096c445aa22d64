package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on asking Ceph.
const (
	// cephToolMax is how long one question may take. Without enough monitors the tool waits
	// for them: it is told to give up sooner.
	cephToolMax     = 5 * time.Second
	cephConnectMax  = "4" // seconds, as the tool wants them
	cephLayoutEvery = 10 * time.Minute
)

// cephCache remembers what changes only with the map of the OSDs, which has a number.
type cephCache struct {
	epoch int64
	asked time.Time
	pools []ha.CephPool
	hosts []ha.CephHost
	flags []string
	// stretch is a mode of the monitors, which the same map carries.
	stretch bool
}

// lookCeph asks Ceph where this node has one. ceph is a large program, so it is asked for
// the status once a minute, and for the rest only when the map has changed.
func lookCeph(ctx context.Context, r *round) (facts, error) {
	var c ha.LocalCeph
	conf, err := readCephConf(r.host)
	if err != nil {
		return nil, err
	}
	put := func(report *ha.Report) { report.Ceph = c }
	if conf == "" {
		return put, nil
	}
	parseCephConf(conf, &c)
	epoch, err := askCephStatus(ctx, r.host, &c)
	if err != nil {
		return put, err
	}
	c.Asked = time.Now().UTC()
	if r.ceph.asked.IsZero() || r.ceph.epoch != epoch || time.Since(r.ceph.asked) > cephLayoutEvery {
		layout, err := askCephLayout(ctx, r.host)
		if err != nil {
			return put, err
		}
		layout.epoch, layout.asked = epoch, time.Now()
		r.ceph = layout
	}
	c.Pools, c.Hosts, c.Flags, c.StretchMode = r.ceph.pools, r.ceph.hosts, r.ceph.flags, r.ceph.stretch
	return put, nil
}

// readCephConf returns the configuration of Ceph, empty if there is none: pmxcfs's, which is
// every node's, or a node's own.
func readCephConf(h Host) (string, error) {
	for _, name := range []string{"etc/pve/ceph.conf", "etc/ceph/ceph.conf"} {
		data, err := optional(h, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, bare(err))
		}
		if len(data) > 0 {
			return string(data), nil
		}
	}
	return "", nil
}

// parseCephConf reads the section [global] of ceph.conf, where blanks, dashes and underscores
// in names are the same.
func parseCephConf(text string, c *ha.LocalCeph) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[global]" {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.NewReplacer(" ", "_", "-", "_").Replace(strings.TrimSpace(key)) {
		case "fsid":
			c.ID, c.Configured = value, true
		case "public_network":
			c.PublicNetworks = words(value)
		case "cluster_network":
			c.ClusterNetworks = words(value)
		}
	}
}

// ceph asks Ceph for JSON.
func ceph(ctx context.Context, h Host, question ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cephToolMax)
	defer cancel()
	args := append([]string{"--connect-timeout", cephConnectMax}, question...)
	out, err := h.Run(ctx, "ceph", append(args, "--format", "json")...)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("ceph %s did not answer within %s", strings.Join(question, " "), cephToolMax)
	}
	return out, err
}

func askCephStatus(ctx context.Context, h Host, c *ha.LocalCeph) (epoch int64, err error) {
	out, err := ceph(ctx, h, "status")
	if err != nil {
		return 0, err
	}
	return parseCephStatus(out, c)
}

func askCephLayout(ctx context.Context, h Host) (cephCache, error) {
	var layout cephCache
	dump, err := ceph(ctx, h, "osd", "dump")
	if err == nil {
		err = parseCephDump(dump, &layout)
	}
	if err != nil {
		return cephCache{}, err
	}
	tree, err := ceph(ctx, h, "osd", "df", "tree")
	if err == nil {
		layout.hosts, err = parseCephTree(tree)
	}
	return layout, err
}
