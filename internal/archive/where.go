// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// whereRow is what an expression can ask of a row. docs/archive.md describes it.
type whereRow struct {
	Command      string    `expr:"command"`
	User         string    `expr:"user_name"`
	UID          int       `expr:"uid"`
	GID          int       `expr:"gid"`
	Groups       []string  `expr:"groups"`
	PID          int       `expr:"pid"`
	PPID         int       `expr:"ppid"`
	Part         int       `expr:"part"`
	Started      time.Time `expr:"started"`
	Ended        time.Time `expr:"ended"`
	Elapsed      float64   `expr:"elapsed_seconds"`
	CPU          float64   `expr:"cpu_seconds"`
	CPUUser      float64   `expr:"cpu_user_seconds"`
	CPUSystem    float64   `expr:"cpu_system_seconds"`
	CPUDelay     float64   `expr:"cpu_delay_seconds"`
	MinorFaults  int       `expr:"minor_faults"`
	MajorFaults  int       `expr:"major_faults"`
	ReadBytes    int       `expr:"read_bytes"`
	WriteBytes   int       `expr:"write_bytes"`
	ReadChars    int       `expr:"read_chars"`
	WriteChars   int       `expr:"write_chars"`
	MaxRSS       int       `expr:"max_rss_bytes"`
	ExitStatus   int       `expr:"exit_status"`
	Signal       int       `expr:"signal"`
	Precision    string    `expr:"precision"`
	Inferred     bool      `expr:"inferred"`
	Unattributed bool      `expr:"unattributed"`
	Host         string    `expr:"host"`
	Boot         string    `expr:"boot"`
}

// asked is how a name of an expression is found in a batch.
type asked struct {
	of  []Column
	set func(*batch, int32, *whereRow)
}

func asksInt(c Column, to func(*whereRow) *int) asked {
	return asked{[]Column{c}, func(b *batch, i int32, r *whereRow) { *to(r) = int(b.ints[c][i]) }}
}

func asksText(c Column, to func(*whereRow) *string) asked {
	return asked{[]Column{c}, func(b *batch, i int32, r *whereRow) { *to(r) = b.str(c, i) }}
}

func asksSeconds(to func(*whereRow) *float64, of ...Column) asked {
	return asked{of, func(b *batch, i int32, r *whereRow) {
		ns := int64(0)
		for _, c := range of {
			ns += b.ints[c][i]
		}
		*to(r) = time.Duration(ns).Seconds()
	}}
}

func asksTime(c Column, to func(*whereRow) *time.Time) asked {
	return asked{[]Column{c}, func(b *batch, i int32, r *whereRow) { *to(r) = time.Unix(0, b.ints[c][i]).UTC() }}
}

func asksBool(c Column, to func(*whereRow) *bool) asked {
	return asked{[]Column{c}, func(b *batch, i int32, r *whereRow) { *to(r) = b.ints[c][i] != 0 }}
}

// whereNames are what an expression can name.
var whereNames = map[string]asked{
	"command":            asksText(Command, func(r *whereRow) *string { return &r.Command }),
	"user_name":          asksText(UserName, func(r *whereRow) *string { return &r.User }),
	"precision":          asksText(Precision, func(r *whereRow) *string { return &r.Precision }),
	"host":               asksText(Host, func(r *whereRow) *string { return &r.Host }),
	"boot":               asksText(Boot, func(r *whereRow) *string { return &r.Boot }),
	"uid":                asksInt(UID, func(r *whereRow) *int { return &r.UID }),
	"gid":                asksInt(GID, func(r *whereRow) *int { return &r.GID }),
	"pid":                asksInt(PID, func(r *whereRow) *int { return &r.PID }),
	"ppid":               asksInt(PPID, func(r *whereRow) *int { return &r.PPID }),
	"part":               asksInt(Part, func(r *whereRow) *int { return &r.Part }),
	"minor_faults":       asksInt(MinorFaults, func(r *whereRow) *int { return &r.MinorFaults }),
	"major_faults":       asksInt(MajorFaults, func(r *whereRow) *int { return &r.MajorFaults }),
	"read_bytes":         asksInt(ReadBytes, func(r *whereRow) *int { return &r.ReadBytes }),
	"write_bytes":        asksInt(WriteBytes, func(r *whereRow) *int { return &r.WriteBytes }),
	"read_chars":         asksInt(ReadChars, func(r *whereRow) *int { return &r.ReadChars }),
	"write_chars":        asksInt(WriteChars, func(r *whereRow) *int { return &r.WriteChars }),
	"max_rss_bytes":      asksInt(MaxRSS, func(r *whereRow) *int { return &r.MaxRSS }),
	"started":            asksTime(Started, func(r *whereRow) *time.Time { return &r.Started }),
	"ended":              asksTime(Ended, func(r *whereRow) *time.Time { return &r.Ended }),
	"elapsed_seconds":    asksSeconds(func(r *whereRow) *float64 { return &r.Elapsed }, Elapsed),
	"cpu_seconds":        asksSeconds(func(r *whereRow) *float64 { return &r.CPU }, CPUUser, CPUSystem),
	"cpu_user_seconds":   asksSeconds(func(r *whereRow) *float64 { return &r.CPUUser }, CPUUser),
	"cpu_system_seconds": asksSeconds(func(r *whereRow) *float64 { return &r.CPUSystem }, CPUSystem),
	"cpu_delay_seconds":  asksSeconds(func(r *whereRow) *float64 { return &r.CPUDelay }, CPUDelay),
	"inferred":           asksBool(Inferred, func(r *whereRow) *bool { return &r.Inferred }),
	"unattributed":       asksBool(Unattributed, func(r *whereRow) *bool { return &r.Unattributed }),
	"exit_status": {[]Column{Status}, func(b *batch, i int32, r *whereRow) {
		if r.ExitStatus = -1; b.ints[Status][i] >= 0 && b.ints[Status][i]&0x7f == 0 {
			r.ExitStatus = int(b.ints[Status][i] >> 8 & 0xff)
		}
	}},
	"signal": {[]Column{Status}, func(b *batch, i int32, r *whereRow) {
		r.Signal = int(max(b.ints[Status][i], 0) & 0x7f)
	}},
	"groups": {[]Column{Groups}, func(b *batch, i int32, r *whereRow) {
		r.Groups = r.Groups[:0]
		for _, g := range b.groupsOf(i) {
			r.Groups = append(r.Groups, b.texts[Groups][g])
		}
	}},
}

// builtins are the functions that an expression may call: all take time that is bounded
// by what it is given.
var builtins = []string{"any", "all", "none", "len", "lower", "upper", "hasPrefix", "hasSuffix", "date", "duration", "abs", "min", "max"}

// maxPredicates bounds the functions with a condition of their own.
const maxPredicates = 2

// where is an expression made ready. It belongs to one goroutine.
type where struct {
	program *vm.Program
	columns []Column
	asks    []asked
	row     whereRow
	vm      vm.VM
	err     error
}

// newWhere makes an expression ready. An ordinary user may give one to the service, so
// what it can do for each row is bounded.
func newWhere(text string) (*where, error) {
	options := []expr.Option{expr.Env(&whereRow{}), expr.AsBool(), expr.MaxNodes(500), expr.DisableAllBuiltins()}
	for _, name := range builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		return nil, badWhere(text, err)
	}
	w := &where{program: program}
	names := &namesIn{}
	node := program.Node()
	ast.Walk(&node, names)
	if names.err != nil {
		return nil, badWhere(text, names.err)
	}
	for _, name := range names.list {
		a := whereNames[name]
		w.asks = append(w.asks, a)
		w.columns = append(w.columns, a.of...)
	}
	return w, nil
}

// CheckWhere tells whether text is an expression; none is fine.
func CheckWhere(text string) error {
	if text == "" {
		return nil
	}
	_, err := newWhere(text)
	return err
}

// badWhere is an error in an expression, in one line.
func badWhere(text string, err error) error {
	said, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("bad --where %q: %s", text, said)
}

// namesIn collects what an expression names, and refuses what takes unbounded time.
type namesIn struct {
	list       []string
	predicates int
	err        error
}

// Visit implements ast.Visitor.
func (n *namesIn) Visit(node *ast.Node) {
	switch node := (*node).(type) {
	case *ast.IdentifierNode:
		if _, known := whereNames[node.Value]; known && !slices.Contains(n.list, node.Value) {
			n.list = append(n.list, node.Value)
		}
	case *ast.BinaryNode:
		if node.Operator == ".." {
			n.err = fmt.Errorf("ranges are not allowed; compare instead")
		}
	case *ast.PredicateNode:
		if n.predicates++; n.predicates > maxPredicates {
			n.err = fmt.Errorf("any, all and none may be there %d times at most", maxPredicates)
		}
	case *ast.BuiltinNode:
		if len(node.Arguments) > 1 && slices.Contains([]string{"any", "all", "none"}, node.Name) {
			if id, ok := node.Arguments[0].(*ast.IdentifierNode); !ok || id.Value != "groups" {
				n.err = fmt.Errorf("%s is for groups alone, as in %s(groups, # startsWith \"ci/\")", node.Name, node.Name)
			}
		}
	}
}

// holds tells whether the expression holds for a row. The first error is kept.
func (w *where) holds(b *batch, i int32) bool {
	for k := range w.asks {
		w.asks[k].set(b, i, &w.row)
	}
	out, err := w.vm.Run(w.program, &w.row)
	if err != nil {
		if w.err == nil {
			said, _, _ := strings.Cut(err.Error(), "\n")
			w.err = fmt.Errorf("try --where on process %d: %s", b.ints[PID][i], said)
		}
		return false
	}
	return out.(bool)
}
