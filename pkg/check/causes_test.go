package check_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestACheckNamesTheRightOneOfItsCauses(t *testing.T) {
	for _, other := range otherCauses {
		t.Run(other.name(), func(t *testing.T) {
			c := checkOf(t, other.code)
			tellRight(t, c, other.story)
			tellWrong(t, c, other.story)
		})
	}
}

func checkOf(t *testing.T, code ha.Code) check.Check {
	k := slices.IndexFunc(check.Checks(), func(c check.Check) bool { return c.Code == code })
	if k < 0 {
		t.Fatalf("there is no check %s", code)
	}
	return check.Checks()[k]
}

// Every sentence with which a check can fail is said in some story: a cause without one
// may name the wrong thing for years.
func TestEveryCauseIsTold(t *testing.T) {
	said := told()
	for place, format := range sentences(t) {
		if !slices.ContainsFunc(said, pattern(format).MatchString) {
			t.Errorf("%s: no story fails with %q", place, format)
		}
	}
}

// told are the evidences of all violations in all stories.
func told() []string {
	var said []string
	hear := func(st story) {
		for _, f := range check.Judge(st.world(st.wrong), ha.CheckRequest{Profile: check.Production}).Findings {
			if f.Status != ha.Pass && f.Status != ha.Skip {
				said = append(said, f.Evidence)
			}
		}
	}
	for _, part := range allStories {
		for _, code := range slices.Sorted(maps.Keys(part)) {
			hear(part[code])
		}
	}
	for _, other := range otherCauses {
		hear(other.story)
	}
	for _, sight := range unsharedWays {
		hear(story{wrong: storageSight("node2", sight.sight)})
	}
	hear(story{wrong: nobodyWrites})
	return said
}

// sentences are the formats of evidence handed to broken in the package's source, by place.
// The longest literal stands for an evidence that is put together.
func sentences(t *testing.T) map[string]string {
	files := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 3 {
				return true
			}
			if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "broken" {
				return true
			}
			longest := ""
			ast.Inspect(call.Args[1], func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil && len(text) > len(longest) {
						longest = text
					}
				}
				return true
			})
			if longest != "" {
				found[files.Position(call.Pos()).String()] = longest
			}
			return true
		})
	}
	if len(found) < 100 {
		t.Fatalf("only %d sentences were found: is it still called broken?", len(found))
	}
	return found
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// pattern matches what a format may have become.
func pattern(format string) *regexp.Regexp {
	parts := verb.Split(strings.ReplaceAll(format, "%%", "\x00"), -1)
	for k, part := range parts {
		parts[k] = regexp.QuoteMeta(strings.ReplaceAll(part, "\x00", "%"))
	}
	return regexp.MustCompile(`(?s)` + strings.Join(parts, `.*`))
}
