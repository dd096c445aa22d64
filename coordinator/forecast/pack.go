package forecast

import (
	"cmp"
)

// searchStepsMax bounds the exact search. Up to some twenty guests on a few nodes it is
// never reached; beyond, the two greedy ways find what there is to find in all but
// clusters packed to the last gibibyte.
const searchStepsMax = 20_000

// harder orders units: bound ones first, then the largest, then by SID.
func (a *attempt) harder(x, y unit) int {
	return cmp.Or(compareBool(y.bound, x.bound), cmp.Compare(y.memory, x.memory), cmp.Compare(y.cores, x.cores), cmp.Compare(x.items[0], y.items[0]))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// fits tells whether unit u can go to node n now.
func (a *attempt) fits(u *unit, n int) bool {
	if a.free[n].memory < u.memory || a.free[n].cores < u.cores || a.gone[n] || !a.p.usable[n] {
		return false
	}
	return !u.bound || a.allowed(u, n)
}

// allowed tells whether rules and devices let unit u be on node n now.
func (a *attempt) allowed(u *unit, n int) bool {
	if u.only != nil && !contains(u.only, n) {
		return false
	}
	for _, k := range u.items {
		it := &a.p.items[k]
		if !it.may(n) {
			return false
		}
		for _, peer := range it.apart {
			if a.where(peer) == n {
				return false
			}
		}
	}
	return true
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

func (a *attempt) put(u *unit, n int) {
	a.free[n].memory -= u.memory
	a.free[n].cores -= u.cores
	if u.bound {
		for _, k := range u.items {
			a.at[k] = n
		}
	}
}

func (a *attempt) take(u *unit, n int) {
	a.free[n].memory += u.memory
	a.free[n].cores += u.cores
	if u.bound {
		for _, k := range u.items {
			delete(a.at, k)
		}
	}
}

// solve finds a node for each unit, or proves that there is none: first by what no
// placement can have, then by two greedy ways, then by search. The nodes are in the order
// of the units. The attempt is as before afterwards.
func (a *attempt) solve(units []unit) (Verdict, []int) {
	if a.impossible(units) {
		return DoesNotFit, nil
	}
	at := make([]int, len(units))
	for _, better := range [2]func(n, than int) bool{a.emptier, a.fuller} {
		done := a.greedy(units, at, better)
		for k := range done {
			a.take(&units[k], at[k])
		}
		if done == len(units) {
			return Fits, at
		}
	}
	a.steps = 0
	found := a.search(units, at, 0)
	switch {
	case found:
		for k := range units {
			a.take(&units[k], at[k])
		}
		return Fits, at
	case a.steps >= searchStepsMax:
		return NotFound, nil
	}
	return DoesNotFit, nil
}

// impossible tells of what no placement can have: a unit without any node, or more in all
// than the nodes have that can take the smallest.
func (a *attempt) impossible(units []unit) bool {
	var memory int64
	var cores float64
	smallest := int64(-1)
	for k := range units {
		u := &units[k]
		if a.homeless(u) {
			return true
		}
		memory += u.memory
		cores += u.cores
		if smallest < 0 || u.memory < smallest {
			smallest = u.memory
		}
	}
	for n := range a.free {
		if !a.gone[n] && a.p.usable[n] && a.free[n].memory >= smallest {
			memory -= a.free[n].memory
			cores -= max(0, a.free[n].cores)
		}
	}
	return memory > 0 || cores > 0
}

// homeless tells whether a unit fits nowhere even alone.
func (a *attempt) homeless(u *unit) bool {
	for n := range a.free {
		if a.fits(u, n) {
			return false
		}
	}
	return true
}

func (a *attempt) emptier(n, than int) bool { return a.free[n].memory > a.free[than].memory }
func (a *attempt) fuller(n, than int) bool  { return a.free[n].memory < a.free[than].memory }

// greedy places units one after the other, each where better says, and tells how many it
// placed before one found no node.
func (a *attempt) greedy(units []unit, at []int, better func(n, than int) bool) int {
	for k := range units {
		best := -1
		for n := range a.free {
			if (best < 0 || better(n, best)) && a.fits(&units[k], n) {
				best = n
			}
		}
		if best < 0 {
			return k
		}
		at[k] = best
		a.put(&units[k], best)
	}
	return len(units)
}

// search places the units from k on, depth first.
func (a *attempt) search(units []unit, at []int, k int) bool {
	if k == len(units) {
		return true
	}
	if a.steps >= searchStepsMax || a.tooMuch(units[k:]) {
		return false
	}
	u := &units[k]
	from := 0
	if k > 0 && a.twins(&units[k-1], u) {
		from = at[k-1] // equal units in the order of nodes: the other orders are the same
	}
	for n := from; n < len(a.free); n++ {
		if !a.fits(u, n) || !a.any && a.seen(n, from) {
			continue
		}
		a.steps++
		at[k] = n
		a.put(u, n)
		if a.search(units, at, k+1) {
			return true
		}
		a.take(u, n)
		if a.steps >= searchStepsMax {
			return false
		}
	}
	return false
}

// twins tells whether two units are alike.
func (a *attempt) twins(x, y *unit) bool {
	return !x.bound && !y.bound && x.memory == y.memory && x.cores == y.cores
}

// seen tells whether a node before n, from the first that was tried on, has the same room.
func (a *attempt) seen(n, from int) bool {
	for m := from; m < n; m++ {
		if a.free[m] == a.free[n] && !a.gone[m] && a.p.usable[m] {
			return true
		}
	}
	return false
}

// tooMuch tells whether the rest needs more memory than is left where it can be used.
func (a *attempt) tooMuch(rest []unit) bool {
	var need int64
	smallest := rest[0].memory
	for k := range rest {
		need += rest[k].memory
		smallest = min(smallest, rest[k].memory)
	}
	for n := range a.free {
		if !a.gone[n] && a.p.usable[n] && a.free[n].memory >= smallest {
			need -= a.free[n].memory
		}
	}
	return need > 0
}
