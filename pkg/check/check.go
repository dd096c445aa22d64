// Package check is the judge: from the facts of a snapshot, or of one node's report, it
// says whether high availability would really work. Its secret is what "ready" means;
// docs/checks.md tells the same in prose, one anchor per code.
//
// The package is pure. Probes and the Proxmox adapter fetch facts and do not judge; the
// judge reads facts and fetches nothing. Three rules hold for every check:
//
//   - A fact that is missing, too old, or whose probe could not look is UNKNOWN, never
//     PASS, and UNKNOWN is not ready.
//   - A finding that is only the effect of another one that fails is a SKIP that names
//     its cause, so that one fault is one line to act upon.
//   - Equal worlds give equal findings, in the order of All and, within a check, by subject.
package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The profiles readiness is judged by. Minimum is what HA needs to work at all;
// production adds what a cluster that others depend on should have.
const (
	Minimum    = "minimum"
	Production = "production"
)

// A Check is one rule of judgement.
type Check struct {
	// Code is its stable name; it names the fault, not the good state.
	Code ha.Code
	// Title says in the affirmative what is checked.
	Title string
	// Minimum and Production are what a violation is worth in each profile: FAIL, WARN
	// or NOTICE. Empty: the check is no part of that profile.
	Minimum, Production ha.Status
	// DependsOn are the checks whose failure, on the same subject or on the cluster,
	// would explain a violation of this one. They stand before it in All.
	DependsOn []ha.Code

	// Hold is how long a violation must have been seen before it is told unasked, Settle how
	// long it must have been gone before that is. Zero is HoldTime, AtOnce the next judgement.
	// docs/checks.md says it of the checks that differ.
	Hold, Settle time.Duration

	// probes are the probes it needs the results of, and parts the parts of the
	// inventory; without them the verdict is unknown.
	probes []string
	parts  []string
	// Exactly one of these judges: one node by its own report; one HA target; or
	// whatever needs the view of all.
	node    func(n node) verdict
	target  func(w *world, m managed) verdict
	cluster func(w *world) []verdict
}

// Anchor is the check's anchor in docs/checks.md.
func (c Check) Anchor() string { return Anchor(c.Code) }

// Anchor is the anchor in docs/checks.md of a code: lower case, dashes.
func Anchor(code ha.Code) string {
	return strings.ToLower(strings.ReplaceAll(string(code), "_", "-"))
}

// Severity is what a violation is worth in a profile; empty if the profile does not ask.
// A profile that is neither minimum nor empty is judged as production: a mistyped
// name must not make the judgement milder.
func (c Check) Severity(profile string) ha.Status {
	if profile == "" || profile == Minimum {
		return c.Minimum
	}
	return c.Production
}

// clusterSubject is the subject of what concerns no single node, target or storage.
const clusterSubject = "cluster"

// Checks returns every check in the order they are judged and printed.
func Checks() []Check { return slices.Clone(All) }

// Validate reports whether a request names a profile and codes that exist. The error is
// Invalid and names what would be right.
func Validate(r ha.CheckRequest) error {
	if r.Profile != "" && r.Profile != Minimum && r.Profile != Production {
		return ha.Errorf(ha.Invalid, "there is no profile %q: want %s or %s", r.Profile, Minimum, Production)
	}
	for _, code := range r.Only {
		if !known(code) {
			return ha.Errorf(ha.Invalid, "there is no check %q: docs/checks.md lists them all", code)
		}
	}
	return nil
}

// Named returns the codes a person means by a word: the code itself, or every code that
// begins with that word, as NFS or COROSYNC_LINK. A word that means none is returned as it
// is, for Validate to refuse.
func Named(word ha.Code) []ha.Code {
	if known(word) {
		return []ha.Code{word}
	}
	var list []ha.Code
	for _, c := range All {
		if strings.HasPrefix(string(c.Code), string(word)+"_") {
			list = append(list, c.Code)
		}
	}
	if list == nil {
		return []ha.Code{word}
	}
	return list
}

func known(code ha.Code) bool {
	return slices.ContainsFunc(All, func(c Check) bool { return c.Code == code })
}

// Judge judges a whole cluster. It is total: a request that Validate would refuse is
// answered with a finding that is UNKNOWN, so that no mistake reads as ready.
func Judge(s ha.Snapshot, r ha.CheckRequest) ha.Readiness {
	w := newWorld(s, r.Policy)
	out := newJudgement(w, r.Profile)
	for _, c := range All {
		if severity := c.Severity(r.Profile); severity != "" {
			out.add(c, severity, c.judge(w))
		}
	}
	return out.narrowed(w, r)
}

// JudgeNode judges one node by its own report alone: what an installer can ask before
// there is a coordinator, a project or even a cluster. Checks that need more are left out.
func JudgeNode(r ha.Report) ha.Readiness {
	w := newLoneWorld(r)
	var out judgement
	for _, c := range All {
		if severity := c.Severity(Minimum); c.node != nil && severity != "" {
			out.add(c, severity, c.judge(w))
		}
	}
	return ha.Readiness{Findings: out.findings}
}

// after lists causes: a base that many checks share, and more.
func after(base []ha.Code, more ...ha.Code) []ha.Code { return slices.Concat(base, more) }

// judge asks the check of every subject it has in w.
func (c Check) judge(w *world) []verdict {
	if c.node != nil {
		return c.judgeNodes(w)
	}
	if reason, missing := w.lacks(c.parts); missing {
		return []verdict{unknown(clusterSubject, "%s", reason)}
	}
	if c.target != nil {
		var list []verdict
		for _, m := range w.managed() {
			v := c.target(w, m)
			v.subject, v.targets = m.Name, []string{m.Name}
			list = append(list, v)
		}
		return list
	}
	return c.cluster(w)
}

func (c Check) judgeNodes(w *world) []verdict {
	var list []verdict
	for _, name := range w.nodes {
		v := c.judgeNode(w, name)
		v.subject = string(name)
		list = append(list, v)
	}
	return list
}

func (c Check) judgeNode(w *world, name ha.NodeName) verdict {
	r, ok := w.report(name)
	if !ok {
		return unknown("", "there is no fresh report from %s", name)
	}
	for _, p := range c.probes {
		if reason, failed := r.Failed(p); failed {
			return unknown("", "the %s probe could not look: %s", p, reason)
		}
	}
	return c.node(node{Report: r, w: w})
}

// A verdict is what a check says of one subject, before the profile and its causes are
// considered.
type verdict struct {
	subject string
	// status is empty for a violation, whose worth the profile decides.
	status   ha.Status
	evidence string
	remedy   string
	// targets are the targets it concerns; nil: all of them.
	targets []string
	// on is the node whose silence is why it is unknown: a failure there is its cause.
	on ha.NodeName
}

func pass(subject, format string, args ...any) verdict {
	return verdict{subject: subject, status: ha.Pass, evidence: fmt.Sprintf(format, args...)}
}

// broken is a violation: evidence and what to do.
func broken(subject, evidence, remedy string) verdict {
	return verdict{subject: subject, evidence: evidence, remedy: remedy}
}

func unknown(subject, format string, args ...any) verdict {
	return verdict{subject: subject, status: ha.Unknown, evidence: fmt.Sprintf(format, args...)}
}

// skip is for what does not apply.
func skip(subject, format string, args ...any) verdict {
	return verdict{subject: subject, status: ha.Skip, evidence: fmt.Sprintf(format, args...)}
}

// passing says of a state that it will become right by itself: worth a line, no fault.
func passing(subject, format string, args ...any) verdict {
	return verdict{subject: subject, status: ha.Notice, evidence: fmt.Sprintf(format, args...)}
}

// A judgement collects findings and knows which subjects already fail, and why.
type judgement struct {
	findings []ha.Finding
	targets  [][]string // per finding, as verdict.targets
	causes   map[cause]ha.Code
}

// cause is a check on a subject; its value in judgement.causes is the code to name for
// its effects: itself, or what it is an effect of.
type cause struct {
	code    ha.Code
	subject string
}

// newJudgement makes room for every finding there will be: a large cluster has hundreds
// of thousands, and to copy them again and again costs more than to judge.
func newJudgement(w *world, profile string) judgement {
	room := 0
	for _, c := range All {
		switch {
		case c.Severity(profile) == "":
		case c.target != nil:
			room += len(w.targets)
		default:
			room += len(w.nodes) + 1
		}
	}
	return judgement{findings: make([]ha.Finding, 0, room), targets: make([][]string, 0, room)}
}

func (j *judgement) add(c Check, severity ha.Status, verdicts []verdict) {
	if j.causes == nil {
		j.causes = make(map[cause]ha.Code)
	}
	slices.SortStableFunc(verdicts, func(a, b verdict) int { return strings.Compare(a.subject, b.subject) })
	for _, v := range verdicts {
		f := ha.Finding{Code: c.Code, Status: v.status, Subject: v.subject, Title: c.Title, Evidence: v.evidence, Remedy: v.remedy}
		if f.Status == "" {
			f.Status = severity
		}
		if f.Status != ha.Pass && f.Status != ha.Skip {
			if because, ok := j.because(c, v.subject, string(v.on)); ok {
				f.Status, f.Because, f.Remedy = ha.Skip, because, ""
			}
		}
		switch {
		case f.Status == ha.Fail:
			j.causes[cause{c.Code, v.subject}] = c.Code
		case f.Because != "":
			j.causes[cause{c.Code, v.subject}] = f.Because
		}
		j.findings = append(j.findings, f)
		j.targets = append(j.targets, v.targets)
	}
}

// because finds the first cause of c on one of the subjects, or on the cluster, that fails.
func (j *judgement) because(c Check, subjects ...string) (ha.Code, bool) {
	for _, dep := range c.DependsOn {
		for _, on := range append(subjects, clusterSubject) {
			if code, ok := j.causes[cause{dep, on}]; ok {
				return code, true
			}
		}
	}
	return "", false
}

// narrowed keeps what the request asks for. A kept finding's cause is kept with it:
// otherwise `only` could hide the failure and leave a harmless looking SKIP.
func (j *judgement) narrowed(w *world, r ha.CheckRequest) ha.Readiness {
	if len(r.Only) == 0 && r.Target == "" {
		return ha.Readiness{Findings: j.findings}
	}
	wanted := func(k int) bool {
		if len(r.Only) > 0 && !slices.Contains(r.Only, j.findings[k].Code) {
			return false
		}
		return r.Target == "" || j.targets[k] == nil || slices.Contains(j.targets[k], r.Target)
	}
	causes := make(map[ha.Code]bool)
	for k, f := range j.findings {
		if wanted(k) && f.Because != "" {
			causes[f.Because] = true
		}
	}
	var out ha.Readiness
	for k, f := range j.findings {
		if wanted(k) || causes[f.Code] && f.Status == ha.Fail {
			out.Findings = append(out.Findings, f)
		}
	}
	out.Findings = append(out.Findings, misnamed(w, r)...)
	return out
}

// misnamed are the findings about a request for what does not exist.
func misnamed(w *world, r ha.CheckRequest) []ha.Finding {
	var list []ha.Finding
	for _, code := range r.Only {
		if !known(code) {
			list = append(list, ha.Finding{Code: code, Status: ha.Unknown, Subject: clusterSubject,
				Title: "the check exists", Evidence: fmt.Sprintf("there is no check %q", code),
				Remedy: "docs/checks.md lists every code"})
		}
	}
	if _, ok := w.policy.Target(r.Target); r.Target != "" && !ok {
		list = append(list, ha.Finding{Code: TargetNotFound, Status: ha.Fail, Subject: r.Target,
			Title: "the target is declared", Evidence: "the project declares no target of that name",
			Remedy: "look at targets: in network.yml for the right name"})
	}
	return list
}
