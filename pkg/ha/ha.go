// Package ha is the vocabulary of psw-ha: the nouns every other package speaks in
// (node, guest, resource, rule, report, inventory, snapshot, plan, maintenance) and
// the few verbs those nouns need. Its secret is what the words mean; docs/terms.md
// tells the same in prose.
//
// The package is pure: it does no I/O, reads no clock and starts no goroutine, so
// that whatever is built from its values can be computed, compared and replayed
// anywhere. Core data are slices sorted by name or SID; maps are local indexes only.
package ha
