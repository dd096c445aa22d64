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

func (st style) paint(esc, text string) string {
	if !st.on || text == "" {
		return text
	}
	return esc + text + escReset
}

func (st style) bold(t string) string  { return st.paint(escBold, t) }
func (st style) faint(t string) string { return st.paint(escFaint, t) }
func (st style) good(t string) string  { return st.paint(escGreen, t) }
func (st style) warn(t string) string  { return st.paint(escYellow, t) }
func (st style) bad(t string) string   { return st.paint(escRed, t) }

// status paints a verdict's word as pve8to9 does; UNKNOWN, which that tool lacks, has a
// colour of its own.
func (st style) status(v ha.Status, text string) string {
	switch v {
	case ha.Pass:
		return st.good(text)
	case ha.Warn:
		return st.warn(text)
	case ha.Fail:
		return st.bad(text)
	case ha.Unknown:
		return st.paint(escPurple, text)
	case ha.Skip:
		return st.faint(text)
	case ha.Notice:
	}
	return text
}

// nodeState paints the HA manager's word for a node.
func (st style) nodeState(state string) string {
	switch state {
	case ha.NodeOnline:
		return st.good(state)
	case ha.NodeMaintenance:
		return st.warn(state)
	case "", "-":
		return "-"
	default:
		return st.bad(state)
	}
}

// serviceState paints the HA manager's word for a resource.
func (st style) serviceState(state string) string {
	switch state {
	case ha.ServiceStarted:
		return st.good(state)
	case ha.ServiceError, ha.ServiceFence, ha.ServiceRecovery:
		return st.bad(state)
	default:
		return state
	}
}

// progress paints the state of a guest in a drain.
func (st style) progress(state string) string {
	switch state {
	case progressDone:
		return st.good(state)
	case progressFailed:
		return st.bad(state)
	case progressMoving:
		return st.bold(state)
	default:
		return state
	}
}
