package cli

import "github.com/casaeureka/psw-ha/pkg/ha"

// A style colours words, or leaves them alone where nobody would see the colour: in a
// pipe, with --no-color, with NO_COLOR set, on a dumb terminal. Meaning never hangs on
// colour only.
type style struct{ on bool }

const (
	escReset  = "\x1b[0m"
	escBold   = "\x1b[1m"
	escFaint  = "\x1b[2m"
	escRed    = "\x1b[31m"
	escGreen  = "\x1b[32m"
	escYellow = "\x1b[33m"
	escPurple = "\x1b[35m"
)

func (s style) paint(esc, text string) string {
	if !s.on || text == "" {
		return text
	}
	return esc + text + escReset
}

func (s style) bold(t string) string  { return s.paint(escBold, t) }
func (s style) faint(t string) string { return s.paint(escFaint, t) }
func (s style) good(t string) string  { return s.paint(escGreen, t) }
func (s style) warn(t string) string  { return s.paint(escYellow, t) }
func (s style) bad(t string) string   { return s.paint(escRed, t) }

// status paints a verdict's word as pve8to9 does; UNKNOWN, which that tool lacks, has a
// colour of its own.
func (s style) status(v ha.Status, text string) string {
	switch v {
	case ha.Pass:
		return s.good(text)
	case ha.Warn:
		return s.warn(text)
	case ha.Fail:
		return s.bad(text)
	case ha.Unknown:
		return s.paint(escPurple, text)
	case ha.Skip:
		return s.faint(text)
	default:
		return text
	}
}

// nodeState paints the HA manager's word for a node.
func (s style) nodeState(state string) string {
	switch state {
	case ha.NodeOnline:
		return s.good(state)
	case ha.NodeMaintenance:
		return s.warn(state)
	case "", "-":
		return "-"
	default:
		return s.bad(state)
	}
}

// serviceState paints the HA manager's word for a resource.
func (s style) serviceState(state string) string {
	switch state {
	case ha.ServiceStarted:
		return s.good(state)
	case ha.ServiceError, ha.ServiceFence, ha.ServiceRecovery:
		return s.bad(state)
	default:
		return state
	}
}

// progress paints the state of a guest in a drain.
func (s style) progress(state string) string {
	switch state {
	case progressDone:
		return s.good(state)
	case progressFailed:
		return s.bad(state)
	case progressMoving:
		return s.bold(state)
	default:
		return state
	}
}
