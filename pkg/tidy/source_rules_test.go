package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
)

// pure looks into the sources of the vocabulary and of what decides with it.
func pure(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		if !slices.Contains(vocabulary, p.ImportPath) && !slices.Contains(deciders, p.ImportPath) {
			continue
		}
		for _, f := range p.production() {
			found = append(found, impure(f)...)
		}
	}
	return found
}

// clock are the functions of package time that look at the clock or wait.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// impure finds what makes a file's results depend on more than its arguments.
func impure(f file) []breach {
	found := uses(f, map[string][]string{"time": clock})
	ast.Inspect(f.ast, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a go statement"
		case *ast.SelectStmt:
			what = "a select statement"
		case *ast.ChanType:
			what = "a channel"
		case *ast.SendStmt:
			what = "a send on a channel"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "a receive from a channel"
			}
		}
		if what != "" {
			found = append(found, breach{f.at(n), "has " + what})
		}
		return true
	})
	return found
}

// process are the doors from a program to its process.
var process = map[string][]string{
	"os":        {"Args", "Exit", "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv"},
	"os/signal": {"Notify", "NotifyContext", "Ignore", "Reset", "Stop"},
	"syscall":   {"Exit", "Getenv", "Environ"},
	"flag":      {"Parse", "CommandLine", "Args", "Arg", "String", "Int", "Bool", "Duration", "Var"},
}

func onlyPrograms(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		if p.isMain() {
			continue
		}
		for _, f := range p.production() {
			found = append(found, uses(f, process)...)
		}
	}
	return found
}

// uses finds where a file mentions one of the names of a package, by the name the file
// gives that package. A dot import of such a package is a breach by itself: it hides them.
func uses(f file, forbidden map[string][]string) []breach {
	var found []breach
	local := map[string]string{} // the file's name of a package: its import path
	for _, i := range f.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil || forbidden[p] == nil {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			found = append(found, breach{f.at(i), "imports " + p + " with a dot"})
			continue
		}
		local[name] = p
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		p := local[x.Name]
		if p != "" && slices.Contains(forbidden[p], sel.Sel.Name) {
			found = append(found, breach{f.at(sel), fmt.Sprintf("uses %s.%s", path.Base(p), sel.Sel.Name)})
		}
		return true
	})
	return found
}
