// Package tidy holds the tests of the code itself: who may import whom, what must stay
// pure, what every package must say of itself. Its secret is how such a rule is checked;
// what the rules are is the list in rules_test.go, and each failure says why its rule
// exists. It has nothing but tests, and they see the tree through `go list`, which the
// test cache does not: run them with -count=1, as `make tidy` does.
package tidy
