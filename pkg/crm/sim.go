package crm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// World is what a virtual world begins with.
type World struct {
	// Nodes are the nodes, powered or not.
	Nodes map[string]Hardware
	// Services are the configured services by SID.
	Services map[string]Service
	Rules    []Rule
	Groups   []Group
	Options  Datacenter
	Manager  ManagerStatus
	// Locks are guests' configuration locks, by SID.
	Locks map[string]string
	// Static and Dynamic are guests' sizes and loads, by SID.
	Static, Dynamic map[string]GuestUsage
	// Running are the guests that run at the start, by node and SID.
	Running map[string]map[string]bool
}

// Hardware is a node's.
type Hardware struct {
	Power, Network bool
	CPUs, Memory   float64
	Version        string
}

// Sim is a virtual world: a cluster of nodes with their daemons, in virtual seconds, on
// which guests start, stop and move in no time. It runs as Proxmox's own test simulator
// does, clocks included.
type Sim struct {
	w     World
	now   int64
	nodes map[string]*simNode

	manager  ManagerStatus
	lrm      map[string]LRMStatus
	commands []string
	locks    map[string]simLock
	dogs     map[string]int64 // watchdog clients "node/daemon", when last fed
	running  map[string]map[string]bool
	fails    map[string]int // failed attempts of a fa: service, "start SID" or "move SID"
	begun    bool
	rules    int // changes of the rules, for their digest
	lines    []string
}

type simLock struct {
	holder string
	at     int64
}

type simNode struct {
	name           string
	power, network bool
	broken, stale  bool // the cluster filesystem: no reading or writing, no refresh
	crm            *CRM
	lrm            *LRM
	crmClock       int64
	lrmClock       int64
	leaving        string // reboot or shutdown
	restarting     bool   // its LRM
	skipCRM        int
	skipLRM        int
}

// NewSim makes a virtual world.
func NewSim(w World) *Sim {
	s := &Sim{w: w, nodes: map[string]*simNode{}, manager: w.Manager.Clone(), lrm: map[string]LRMStatus{}, locks: map[string]simLock{},
		dogs: map[string]int64{}, running: map[string]map[string]bool{}, fails: map[string]int{}}
	s.w.Services = maps.Clone(w.Services)
	for name, h := range w.Nodes {
		s.nodes[name] = &simNode{name: name, power: h.Power, network: h.Network}
		s.running[name] = maps.Clone(w.Running[name])
		if s.running[name] == nil {
			s.running[name] = map[string]bool{}
		}
	}
	return s
}

// Log returns what has been logged, one line each.
func (s *Sim) Log() []string { return s.lines }

func (s *Sim) log(l Level, at int64, source, text string) {
	s.lines = append(s.lines, fmt.Sprintf("%-5s %5d %12s: %s", l, at, source, text))
}

func (s *Sim) names() []string { return slices.Sorted(maps.Keys(s.nodes)) }

// online tells whether a node is in the quorate partition.
func (s *Sim) online(name string) bool {
	up := 0
	for _, n := range s.nodes {
		if n.power && n.network {
			up++
		}
	}
	n := s.nodes[name]
	return up > len(s.nodes)/2 && n.power && n.network
}

// Loop runs every daemon once, node by node, and lets the clock go on.
func (s *Sim) Loop() {
	begin := s.now
	for _, name := range s.names() {
		n := s.nodes[name]
		s.runCRM(n)
		s.runLRM(n)
		s.checkWatchdogs()
	}
	for _, n := range s.nodes {
		n.skipCRM, n.skipLRM = max(0, n.skipCRM-1), max(0, n.skipLRM-1)
	}
	s.now = max(s.now, begin+int64(max(20, 2*len(s.nodes))))
	for _, n := range s.nodes {
		n.crmClock, n.lrmClock = s.now, s.now
	}
}

func (s *Sim) runCRM(n *simNode) {
	if n.crm == nil || n.skipCRM > 0 {
		return
	}
	n.crmClock = s.now
	_, exit := n.crm.Round()
	n.crmClock++
	s.now = max(s.now, n.crmClock)
	if !exit {
		return
	}
	s.log(Info, n.crmClock, n.name+"/crm", "exit (loop end)")
	n.crm = nil
	if n.leaving == "" {
		return
	}
	id := n.leaving
	s.execute(id, "power "+n.name+" off")
	if id == "reboot" {
		s.execute(id, "power "+n.name+" on")
	}
}

func (s *Sim) runLRM(n *simNode) {
	if n.lrm == nil || n.skipLRM > 0 {
		return
	}
	n.lrmClock = s.now
	_, exit := n.lrm.Round()
	n.lrmClock++
	s.now = max(s.now, n.lrmClock)
	if !exit {
		return
	}
	s.log(Info, n.lrmClock, n.name+"/lrm", "exit (loop end)")
	n.lrm = nil
	switch {
	case n.restarting:
		n.restarting = false
		n.lrm = NewLRM(s.env(n, "lrm"), &s.begun)
	case n.leaving != "" && n.crm != nil:
		s.execute(n.leaving, "crm "+n.name+" stop")
	}
}

// checkWatchdogs resets every node with a daemon that has not fed its watchdog.
func (s *Sim) checkWatchdogs() {
	for _, name := range s.names() {
		for _, daemon := range []string{"crm", "lrm"} {
			fed, armed := s.dogs[name+"/"+daemon]
			if !armed || s.now-fed <= WatchdogTimeout {
				continue
			}
			s.execute("watchdog", "power "+name+" off")
			s.log(Info, s.now, "hardware", fmt.Sprintf("server '%s' stopped by poweroff (watchdog)", name))
		}
	}
}

func (s *Sim) env(n *simNode, daemon string) *simEnv { return &simEnv{s: s, n: n, daemon: daemon} }

// Execute carries out one command of the suite's language.
func (s *Sim) Execute(command string) { s.execute("cmdlist", command) }

func (s *Sim) execute(id, command string) {
	s.log(Info, s.now, id, "execute "+command)
	f := strings.Fields(command)
	if len(f) < 2 {
		panic("command too short: " + command)
	}
	switch f[0] {
	case "power":
		s.power(s.nodes[f[1]], f[2] == "on")
	case "network":
		s.nodes[f[1]].network = f[2] == "on"
	case "cfs":
		if f[2] == "rw" {
			s.nodes[f[1]].broken = f[3] == "fail"
		} else {
			s.nodes[f[1]].stale = f[3] == "fail"
		}
	case "reboot", "shutdown":
		n := s.nodes[f[1]]
		n.leaving = f[0]
		if n.lrm != nil {
			n.lrm.Shutdown(f[0] == "shutdown", f[0] == "reboot")
		}
	case "restart-lrm":
		n := s.nodes[f[1]]
		n.restarting = true
		n.lrm.Shutdown(false, false)
	case "crm":
		s.crmCommand(f)
	case "pve-manager-version":
		h := s.w.Nodes[f[1]]
		h.Version = f[3]
		s.w.Nodes[f[1]] = h
	case "skip-round":
		s.skip(f)
	case "service":
		s.service(f[1], f[2], f[3:])
	case "delay": // only moves the next command list, which is the story's business
	default:
		panic("unknown command: " + command)
	}
}

func (s *Sim) power(n *simNode, on bool) {
	if on {
		if !n.power {
			n.broken, n.stale, n.leaving = false, false, ""
		}
		n.power, n.network = true, true
		if n.crm == nil {
			n.crm = NewCRM(s.env(n, "crm"))
		}
		if n.lrm == nil {
			n.lrm = NewLRM(s.env(n, "lrm"), &s.begun)
		}
		return
	}
	n.power, n.network = false, false
	if n.crm != nil {
		s.log(Info, n.crmClock, n.name+"/crm", "killed by poweroff")
	}
	if n.lrm != nil {
		s.log(Info, n.lrmClock, n.name+"/lrm", "killed by poweroff")
	}
	n.crm, n.lrm = nil, nil
	delete(s.dogs, n.name+"/crm")
	delete(s.dogs, n.name+"/lrm")
	clear(s.running[n.name])
}

func (s *Sim) crmCommand(f []string) {
	n := s.nodes[f[1]]
	switch f[2] {
	case "stop":
		if n.crm != nil {
			n.crm.Shutdown()
		}
	case "start":
		if n.crm == nil {
			n.crm = NewCRM(s.env(n, "crm"))
		}
	case "enable-node-maintenance", "disable-node-maintenance":
		s.commands = append(s.commands, f[2]+" "+f[1])
	default:
		s.commands = append(s.commands, strings.Join(f[2:], " "))
	}
}

func (s *Sim) skip(f []string) {
	rounds := 1
	if len(f) > 2 {
		rounds, _ = strconv.Atoi(f[2])
	}
	for _, n := range s.nodes {
		if f[1] == "crm" {
			n.skipCRM = rounds
		} else {
			n.skipLRM = rounds
		}
	}
}

// Skipping tells whether CRM or LRM rounds are being skipped.
func (s *Sim) skipping() (crm, lrm bool) {
	for _, n := range s.nodes {
		crm, lrm = crm || n.skipCRM > 0, lrm || n.skipLRM > 0
	}
	return crm, lrm
}

func (s *Sim) service(sid, verb string, args []string) {
	c := s.w.Services[sid]
	switch verb {
	case WantStarted, WantStopped, WantDisabled, WantIgnored:
		c.State = verb
		s.w.Services[sid] = c
	case "enabled":
		c.State = WantStarted
		s.w.Services[sid] = c
	case "delete":
		delete(s.w.Services, sid)
	case "migrate", "relocate", "stop":
		s.commands = append(s.commands, strings.Join([]string{verb, sid, args[0]}, " "))
	case "add":
		c = Service{SID: sid, Node: args[0], State: WantDisabled, MaxRestart: 1, MaxRelocate: 1, Failback: true}
		if len(args) > 1 {
			c.State = args[1]
		} else {
			c.State = WantStarted
		}
		s.w.Services[sid] = c
		s.running[c.Node][sid] = len(args) > 2 && args[2] == "1"
	case "lock":
		kind := "backup"
		if len(args) > 0 {
			kind = args[0]
		}
		if s.w.Locks == nil {
			s.w.Locks = map[string]string{}
		}
		s.w.Locks[sid] = kind
	case "unlock":
		delete(s.w.Locks, sid)
	case "manual-migrate":
		delete(s.running[c.Node], sid) // whoever moves a guest by hand starts it by hand
		c.Node = args[0]
		s.w.Services[sid] = c
	case "set-static-stats", "set-dynamic-stats":
		s.setStats(sid, verb, args)
	default:
		panic("unknown service command: " + verb)
	}
}

func (s *Sim) setStats(sid, verb string, args []string) {
	table := &s.w.Static
	if verb == "set-dynamic-stats" {
		table = &s.w.Dynamic
	}
	if *table == nil {
		*table = map[string]GuestUsage{}
	}
	g := (*table)[sid]
	for k := 0; k+1 < len(args); k += 2 {
		v, err := strconv.ParseFloat(args[k+1], 64)
		if err != nil {
			panic(err)
		}
		switch args[k] {
		case "maxcpu":
			g.MaxCPU = v
		case "maxmem":
			g.MaxMemory = v * (1 << 20)
		case "cpu":
			g.CPU = v
		case "mem":
			g.Memory = v * (1 << 20)
		}
	}
	(*table)[sid] = g
}

// Run tells a story: the command lists run every fifth loop from the first on, and the
// story ends when nothing was commanded for 500 seconds.
func (s *Sim) Run(lists [][]string) {
	const end, most = 500, 10_000
	s.log(Info, 0, "hardware", "starting simulation")
	var last, next int64
	for count := 0; ; {
		if skipCRM, skipLRM := s.skipping(); skipCRM {
			s.log(Info, s.now, "run-loop", "skipping CRM round")
		} else if skipLRM {
			s.log(Info, s.now, "run-loop", "skipping LRM round")
		}
		s.Loop()
		if s.now > most {
			s.log(Err, s.now, "hardware", "simulation end time reached")
			return
		}
		if s.now < next {
			continue
		}
		if count%5 == 0 {
			if len(lists) == 0 && s.now-last > end {
				s.log(Info, s.now, "hardware", "exit simulation - done")
				return
			}
			if len(lists) > 0 {
				for _, c := range lists[0] {
					s.Execute(c)
					last = s.now
					if d, ok := strings.CutPrefix(c, "delay "); ok {
						seconds, _ := strconv.ParseInt(d, 10, 64)
						next = s.now + seconds
					}
				}
				lists = lists[1:]
			}
		}
		count++
	}
}
