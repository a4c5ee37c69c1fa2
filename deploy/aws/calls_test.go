package aws

import (
	"fmt"
	"go/types"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

const module = "github.com/forescale/forescale"

// input is the argument that tells an operation of a service of AWS: every call of
// every client takes one, be it by the SDK's client or by an interface of ours.
var input = regexp.MustCompile(`^\*?github\.com/aws/aws-sdk-go-v2/service/(\w+)\.(\w+)Input$`)

// program is the source of this module in a form in which calls can be followed.
// The modules that it uses are seen by their types only.
type program struct{ ssa *ssa.Program }

func load(t *testing.T) *program {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Dir: "../..", Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles |
		packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	if n := packages.PrintErrors(pkgs); n > 0 {
		t.Fatalf("%d errors in the packages of this module", n)
	}
	prog, _ := ssautil.Packages(pkgs, ssa.InstantiateGenerics)
	prog.Build()
	return &program{ssa: prog}
}

// walk follows the calls from a command's main function. What it cannot know it
// takes for called: every function that is passed on, and at a call by an interface
// the method of every type that code which was followed makes into an interface.
type walk struct {
	*program
	seen  map[*ssa.Function]bool
	queue []*ssa.Function
	made  map[string]types.Type // into interfaces, by name
	calls map[interfaceCall]bool
	found map[string]bool // operations, SERVICE.OPERATION
}

type interfaceCall struct {
	face *types.Interface
	name string
}

// operations returns what a command may call of AWS, as SERVICE.OPERATION.
func (p *program) operations(t *testing.T, command string) []string {
	t.Helper()
	w := &walk{program: p, seen: map[*ssa.Function]bool{}, made: map[string]types.Type{}, calls: map[interfaceCall]bool{}, found: map[string]bool{}}
	out, err := exec.Command("go", "list", "-deps", module+"/cmd/"+command).Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) { // what is linked is initialised
		if pkg := p.ssa.ImportedPackage(path); pkg != nil && strings.HasPrefix(path, module) {
			w.reach(pkg.Func("init"))
			if strings.HasSuffix(path, "/cmd/"+command) {
				w.reach(pkg.Func("main"))
			}
		}
	}
	for len(w.queue) > 0 {
		f := w.queue[0]
		w.queue = w.queue[1:]
		w.follow(f)
	}
	var list []string
	for op := range w.found {
		list = append(list, op)
	}
	slices.Sort(list)
	return list
}

func (w *walk) reach(f *ssa.Function) {
	if f != nil && !w.seen[f] {
		w.seen[f] = true
		w.queue = append(w.queue, f)
	}
}

func (w *walk) follow(f *ssa.Function) {
	for _, b := range f.Blocks {
		for _, instruction := range b.Instrs {
			for _, operand := range instruction.Operands(nil) {
				if g, ok := (*operand).(*ssa.Function); ok {
					w.reach(g)
				}
			}
			switch i := instruction.(type) {
			case ssa.CallInstruction:
				w.call(i.Common())
			case *ssa.MakeInterface:
				w.handOver(i)
			}
		}
	}
}

func (w *walk) call(c *ssa.CallCommon) {
	w.note(c.Signature())
	if g := c.StaticCallee(); g != nil {
		w.reach(g)
		// The SDK's own provider makes this call when credentials are needed.
		if g.Pkg != nil && strings.HasSuffix(g.Pkg.Pkg.Path(), "/credentials/stscreds") && g.Name() == "NewAssumeRoleProvider" {
			w.found["sts.AssumeRole"] = true
		}
	}
	if c.IsInvoke() {
		w.methods(c.Value.Type(), c.Method.Name())
	}
}

// handOver follows a value of ours that others may call by an interface of theirs:
// a handler, a collector of metrics. Interfaces of this module are followed where
// they are called.
func (w *walk) handOver(i *ssa.MakeInterface) {
	if name := types.TypeString(i.X.Type(), nil); w.made[name] == nil {
		w.made[name] = i.X.Type()
		for c := range w.calls {
			w.answer(i.X.Type(), c)
		}
	}
	if named, ok := types.Unalias(i.Type()).(*types.Named); ok && named.Obj().Pkg() != nil && strings.HasPrefix(named.Obj().Pkg().Path(), module) {
		return
	}
	face := i.Type().Underlying().(*types.Interface)
	for m := range face.Methods() {
		w.method(i.X.Type(), m.Name())
	}
}

// methods reaches the method of every type, made by now or later, that satisfies
// an interface.
func (w *walk) methods(face types.Type, name string) {
	underlying, ok := face.Underlying().(*types.Interface)
	if c := (interfaceCall{underlying, name}); ok && !w.calls[c] {
		w.calls[c] = true
		for _, t := range w.made {
			w.answer(t, c)
		}
	}
}

func (w *walk) answer(t types.Type, c interfaceCall) {
	if types.Implements(t, c.face) {
		w.method(t, c.name)
	}
}

func (w *walk) method(t types.Type, name string) {
	if named, ok := types.Unalias(t).(*types.Named); ok && named.TypeParams().Len() > 0 && named.TypeArgs().Len() == 0 {
		return // reached by its instances
	}
	set := w.ssa.MethodSets.MethodSet(t)
	for i := range set.Len() {
		if set.At(i).Obj().Name() == name {
			w.reach(w.ssa.MethodValue(set.At(i)))
		}
	}
}

// note takes down the operation that a call of this signature is.
func (w *walk) note(s *types.Signature) {
	for v := range s.Params().Variables() {
		if m := input.FindStringSubmatch(types.TypeString(v.Type(), nil)); m != nil {
			w.found[fmt.Sprintf("%s.%s", m[1], m[2])] = true
		}
	}
}
