package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/e2e/lab"
	"github.com/casaeureka/psw-ha/pkg/version"
)

// settings are the flags of a lab.
type settings struct {
	project string
	dir     string
	speed   float64
	blank   bool
	nodes   int
	verbose bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := command(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintln(stderr, err)
		}
		return 1
	}
	return 0
}

func command(stdout, stderr io.Writer) *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "psw-lab",
		Short: "psw-ha on a simulated three-node Proxmox VE cluster",
		Long: "psw-lab runs a simulated Proxmox VE cluster (its REST API, its HA manager, its hosts), an agent on\n" +
			"each node and a real psw-coordinator. In another terminal use it with the real psw, and break it\n" +
			"with the commands below. Nothing outside its folder and the loopback network is touched.",
		Version: version.String(), Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), s, stdout, stderr) },
	}
	f := root.PersistentFlags()
	f.StringVar(&s.dir, "dir", ".lab", "the lab's folder")
	f.StringVar(&s.project, "project", "", "a project folder to copy; default: the three-node example")
	f.Float64Var(&s.speed, "speed", 10, "how much faster than a real cluster it lives")
	f.BoolVar(&s.blank, "blank", false, "freshly installed nodes, in no cluster: for psw bootstrap")
	f.IntVar(&s.nodes, "nodes", 0, "how many nodes; default: the project's, and three at least")
	f.BoolVar(&s.verbose, "verbose", false, "print what the agents log")
	root.AddCommand(&cobra.Command{
		Use: "demo", Short: "the main job and a power cut, unattended", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), s, stdout, stderr) },
	})
	for _, c := range lab.Commands {
		root.AddCommand(&cobra.Command{
			Use: c.Name + " " + c.Args, Short: c.Help, DisableFlagsInUseLine: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				answer, err := lab.Tell(cmd.Context(), s.dir, c.Name, args...)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(stdout, answer)
				return err
			},
		})
	}
	return root
}

// beside returns the path of a binary that was built together with this one.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot find %s beside psw-lab: build both with `make build`", name)
	}
	return path, nil
}

func start(ctx context.Context, s settings, restart bool, stderr io.Writer) (*lab.Lab, error) {
	coordinator, err := beside("psw-coordinator")
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if s.verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	return lab.Start(ctx, lab.Options{Project: s.project, Dir: dir, Speed: s.speed, Blank: s.blank, Nodes: s.nodes, Coordinator: coordinator, PSWLab: self, Restart: restart,
		Log: log, Environ: os.Environ(),
		Notify: func(format string, args ...any) { fmt.Fprintf(stderr, "lab: "+format+"\n", args...) }})
}

func demo(ctx context.Context, s settings, stdout, stderr io.Writer) error {
	psw, err := beside("psw")
	if err != nil {
		return err
	}
	l, err := start(ctx, s, false, stderr)
	if err != nil {
		return err
	}
	defer l.Close()
	return lab.Demo(ctx, l, psw, stdout)
}

func serve(ctx context.Context, s settings, stdout, stderr io.Writer) error {
	l, err := start(ctx, s, true, stderr)
	if err != nil {
		return err
	}
	defer l.Close()
	psw, err := beside("psw")
	if err != nil {
		psw = "psw"
	}
	self, err := os.Executable()
	if err != nil {
		self = "psw-lab"
	}
	if s.blank {
		return serveBlank(ctx, s, l, psw, self, stdout)
	}
	fmt.Fprintf(stdout, `The lab runs, %gx as fast as a real cluster. In another terminal:

  %[2]s -C %[3]s ha status
  %[2]s -C %[3]s maintenance start node1
  %[2]s -C %[3]s maintenance end node1

Break it:

  %[4]s --dir %[5]s power-off node2        (and: %[4]s --help)
  kill -9 %[6]d                            the coordinator; it comes back after a few seconds

Logs are in %[5]s. Ctrl-C ends the lab.
`, s.speed, psw, l.Project, self, l.Dir(), l.CoordinatorPID())
	<-ctx.Done()
	fmt.Fprintln(stdout, "\nthe lab ends")
	return nil
}

// serveBlank says what to type on nodes that are in no cluster yet.
func serveBlank(ctx context.Context, s settings, l *lab.Lab, psw, self string, stdout io.Writer) error {
	fmt.Fprintf(stdout, `%[1]d freshly installed nodes run, %[2]gx as fast as real ones. In another terminal:

  %[3]s -C %[4]s bootstrap
  %[5]s --dir %[6]s deploy               creates targets you declare later; then psw ha apply protects them
  %[5]s --dir %[6]s add-node node%[7]d       one more machine; declare it in network.yml, then psw node cluster

Logs are in %[6]s. Ctrl-C ends the lab.
`, len(l.Cluster.Nodes()), s.speed, psw, l.Project, self, l.Dir(), len(l.Cluster.Nodes())+1)
	<-ctx.Done()
	fmt.Fprintln(stdout, "\nthe lab ends")
	return nil
}
