package tidy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the module path; packages are named below without it.
const module = "github.com/casaeureka/psw-ha"

// pkg is a package of ours as `go list -json` describes it. Our own import paths are
// shortened: pkg/ha is the package, "." the module's root.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string // everything, directly or not

	files []file // of GoFiles, parsed
}

// file is a parsed source file.
type file struct {
	name string // relative to the module's root
	ast  *ast.File
	fset *token.FileSet
	// lines counts its lines.
	lines int
	test  bool
}

// at is the place of a node.
func (f file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(n.Pos()).Line)
}

// allImports are the direct imports of the package and of its tests.
func (p pkg) allImports() []string {
	return slices.Concat(p.Imports, p.TestImports, p.XTestImports)
}

// under reports whether the package is folder or below it.
func (p pkg) under(folder string) bool { return under(p.ImportPath, folder) }

func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// isMain reports whether the package is a program's: COMPONENT/cmd/BINARY.
func (p pkg) isMain() bool {
	return p.Name == "main" && slices.Contains(strings.Split(p.ImportPath, "/"), "cmd")
}

// ours reports whether an import path (shortened) is a package of the module.
func ours(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{".", "agent", "coordinator", "deploy", "e2e", "pkg", "proto"}, first)
}

// thirdParty reports whether an import path is neither ours nor the standard library's.
func thirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && path != "."
}

func shorten(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// readTree lists and parses every package of the module.
func readTree(t *testing.T) []pkg {
	t.Helper()
	root := moduleRoot(t)
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Doc,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list the packages: %v\n%s", err, &stderr)
	}
	tree, err := decode(out)
	if err != nil {
		t.Fatalf("cannot read what go list said: %v", err)
	}
	for k := range tree {
		tree[k].parse(t, root)
	}
	if len(tree) == 0 {
		t.Fatal("there are no packages")
	}
	return tree
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("cannot find the module: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

func decode(out []byte) ([]pkg, error) {
	var tree []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return tree, nil
		} else if err != nil {
			return nil, err
		}
		p.ImportPath = shorten(p.ImportPath)
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports, p.Deps} {
			for k := range list {
				list[k] = shorten(list[k])
			}
		}
		tree = append(tree, p)
	}
}

func (p *pkg) parse(t *testing.T, root string) {
	t.Helper()
	for _, list := range []struct {
		names []string
		test  bool
	}{{p.GoFiles, false}, {p.CgoFiles, false}, {p.TestGoFiles, true}, {p.XTestGoFiles, true}} {
		for _, name := range list.names {
			path := filepath.Join(p.Dir, name)
			short, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parseFile(short, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			f.test = list.test
			p.files = append(p.files, f)
		}
	}
}

// parseFile parses src, or the file at path if src is nil.
func parseFile(name, path string, src any) (file, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	return file{name: name, ast: parsed, fset: fset, lines: fset.File(parsed.Pos()).LineCount()}, nil
}

// production are the files that are no tests and not generated.
func (p pkg) production() []file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f file) bool { return f.test || ast.IsGenerated(f.ast) })
}
