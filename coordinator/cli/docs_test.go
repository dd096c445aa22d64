package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const docsPath = "../../docs/cli.md"

func docs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example is a block of the docs that shows what a golden holds.
var example = regexp.MustCompile("(?s)(<!-- testdata/([a-z_]+)\\.golden -->\n```text\n)(.*?)(```\n)")

// The examples in the docs are what psw prints in the tests.
func TestDocsExamples(t *testing.T) {
	found := example.FindAllStringSubmatch(docs(t), -1)
	if len(found) < 10 {
		t.Fatalf("%s has %d examples", docsPath, len(found))
	}
	for _, part := range found {
		want, err := os.ReadFile(filepath.Join("testdata", part[2]+".golden"))
		if err != nil {
			t.Error(err)
		} else if part[3] != string(want) && !*update {
			t.Errorf("the example %s is not what psw prints: go test ./coordinator/cli -update", part[2])
		}
	}
}

// updateDocs copies the goldens into the docs, once all of them are written.
func updateDocs() error {
	text, err := os.ReadFile(docsPath)
	if err != nil {
		return err
	}
	fresh := example.ReplaceAllStringFunc(string(text), func(block string) string {
		part := example.FindStringSubmatch(block)
		golden, readErr := os.ReadFile(filepath.Join("testdata", part[2]+".golden"))
		if readErr != nil {
			err = readErr
		}
		return part[1] + string(golden) + part[4]
	})
	if err != nil {
		return err
	}
	return os.WriteFile(docsPath, []byte(fresh), 0o644)
}

// Every command and every flag is in the docs, under its own heading.
func TestDocsCommands(t *testing.T) {
	text := docs(t)
	root := newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}, nil).rootCommand()
	if general := section(text, "## Flags of every command"); general == "" {
		t.Error("the general flags are not described")
	} else {
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) { describes(t, general, "every command", f) })
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() {
			return
		}
		about := section(text, "## "+c.CommandPath())
		if about == "" {
			t.Errorf("%s has no heading \"## %s\"", docsPath, c.CommandPath())
			return
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { describes(t, about, c.CommandPath(), f) })
	}
	walk(root)
}

func describes(t *testing.T, about, command string, f *pflag.Flag) {
	t.Helper()
	if f.Name != "help" && !regexp.MustCompile("(?m)^\\|.*`--"+f.Name+"[` ]").MatchString(about) {
		t.Errorf("%s does not describe --%s of %s", docsPath, f.Name, command)
	}
}

// section returns what stands between a heading and the next one of its level or higher.
func section(text, heading string) string {
	_, after, found := strings.Cut("\n"+text, "\n"+heading+"\n")
	if !found {
		return ""
	}
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	if at := regexp.MustCompile(`(?m)^#{1,` + string(rune('0'+level)) + `} `).FindStringIndex(after); at != nil {
		after = after[:at[0]]
	}
	return after
}

// Every field of the JSON is in the docs, and every field in the docs is in the JSON.
func TestDocsJSON(t *testing.T) {
	text := docs(t)
	names := map[reflect.Type]string{
		reflect.TypeFor[validateDocument](): "Validation", reflect.TypeFor[checkDocument](): "Verdict", reflect.TypeFor[checkTotals](): "Totals",
		reflect.TypeFor[findingDocument](): "Finding", reflect.TypeFor[streamLine](): "Line", reflect.TypeFor[streamResult](): "Result",
		reflect.TypeFor[versionDocument](): "Version", reflect.TypeFor[simulateDocument](): "Simulation", reflect.TypeFor[forecast.Fault](): "SimulatedFault",
		reflect.TypeFor[capacityDocument](): "CapacityAnswer", reflect.TypeFor[mutesDocument](): "Mutes", reflect.TypeFor[explainDocument](): "Explanation", reflect.TypeFor[eachDocument](): "EachFailure", reflect.TypeFor[failureAnswer](): "Failure", reflect.TypeFor[restart](): "Restart", reflect.TypeFor[acksDocument](): "Acknowledgements",
		reflect.TypeFor[operationLine](): "OperationLine", reflect.TypeFor[operationResult](): "OperationResult",
	}
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		_, marshals := reflect.PointerTo(typ).MethodByName("MarshalText")
		if typ.Kind() != reflect.Struct || marshals || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		seen[typ] = true
		name := names[typ]
		if name == "" {
			name = typ.Name()
		}
		documented := documentedFields(section(text, "#### "+name))
		var have []string
		for _, f := range reflect.VisibleFields(typ) {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || tag == "-" {
				continue
			}
			have = append(have, tag)
			if !slices.Contains(documented, tag) {
				t.Errorf("%s: section \"#### %s\" does not describe the field `%s`", docsPath, name, tag)
			}
			walk(f.Type)
		}
		for _, d := range documented {
			if !slices.Contains(have, d) {
				t.Errorf("%s: section \"#### %s\" describes `%s`, which is no field of it", docsPath, name, d)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[validateDocument](), reflect.TypeFor[ha.ClusterStatus](), reflect.TypeFor[checkDocument](), reflect.TypeFor[ha.PlanView](),
		reflect.TypeFor[ha.Event](), reflect.TypeFor[streamLine](), reflect.TypeFor[operationLine](), reflect.TypeFor[versionDocument](),
		reflect.TypeFor[simulateDocument](), reflect.TypeFor[capacityDocument](),
		reflect.TypeFor[mutesDocument](), reflect.TypeFor[acksDocument](), reflect.TypeFor[explainDocument](), reflect.TypeFor[eachDocument](),
	} {
		walk(typ)
	}
	if len(seen) < 30 {
		t.Errorf("only %d types were compared", len(seen))
	}
}

// documentedFields are the names in the first column of a section's tables.
func documentedFields(about string) []string {
	var list []string
	for line := range strings.SplitSeq(about, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				list = append(list, m[1])
			}
		}
	}
	return list
}

// What the docs say of exit codes is what the code does: they are a contract as well.
func TestDocsExitCodes(t *testing.T) {
	about := section(docs(t), "## Exit codes")
	for _, code := range []string{"0", "1", "2", "3", "4", "130"} {
		if !strings.Contains(about, "\n| "+code+" | ") {
			t.Errorf("exit code %s is not described", code)
		}
	}
}
