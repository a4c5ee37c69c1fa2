package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Trees is an ensemble of regression trees that share their inputs. Target k is
//
//	y_k = Base[k] + Σ over the trees t of target k of leaf_t(x)
type Trees struct {
	Base  []float32 // one per target
	Trees []Tree
}

// Tree is one regression tree. Nodes[0] is its root, and children follow their
// parents.
type Tree struct {
	Target int // index of Base
	Nodes  []TreeNode
}

// TreeNode is a leaf, where Left is 0 (the root is no child), or a branch: to
// Left where x[Feature] <= Value, to Right otherwise and for NaN.
type TreeNode struct {
	Feature     int
	Value       float32 // of a branch the threshold, of a leaf what it adds
	Left, Right int     // indices of Nodes
}

// The modes of a node that our trees use.
const (
	modeBranch = "BRANCH_LEQ"
	modeLeaf   = "LEAF"
)

// treeAttributes is what a TreeEnsembleRegressor of ours says, in this order.
// What is left out has the defaults that we mean: post_transform NONE,
// aggregate_function SUM, and missing values that track the false branch.
var treeAttributes = []attr{
	{name: "base_values", kind: attrFloats},
	{name: "n_targets", kind: attrInt},
	{name: "nodes_falsenodeids", kind: attrInts},
	{name: "nodes_featureids", kind: attrInts},
	{name: "nodes_modes", kind: attrStrings},
	{name: "nodes_nodeids", kind: attrInts},
	{name: "nodes_treeids", kind: attrInts},
	{name: "nodes_truenodeids", kind: attrInts},
	{name: "nodes_values", kind: attrFloats},
	{name: "target_ids", kind: attrInts},
	{name: "target_nodeids", kind: attrInts},
	{name: "target_treeids", kind: attrInts},
	{name: "target_weights", kind: attrFloats},
}

// TreeEnsembleRegressor returns the targets [batch, len(e.Base)] of an ensemble
// over x [batch, features]. It panics on a tree that is none, which is a
// programmer's mistake.
//
// Source: TreeEnsembleRegressor of ai.onnx.ml, opset 3.
func (g *Graph) TreeEnsembleRegressor(name, x string, e Trees) string {
	if err := e.check(); err != nil {
		panic("onnx: " + err.Error())
	}
	// ONNX Runtime 1.24 answers 0 and not the base for a target without a tree, so
	// that each gets one.
	e.Trees = slices.Clone(e.Trees)
	for k := range e.Base {
		if !slices.ContainsFunc(e.Trees, func(t Tree) bool { return t.Target == k }) {
			e.Trees = append(e.Trees, Tree{Target: k, Nodes: []TreeNode{{}}})
		}
	}
	attrs := make([]attr, len(treeAttributes))
	copy(attrs, treeAttributes)
	base, targets, right, features, modes := &attrs[0], &attrs[1], &attrs[2], &attrs[3], &attrs[4]
	nodes, trees, left, values := &attrs[5], &attrs[6], &attrs[7], &attrs[8]
	leafTargets, leafNodes, leafTrees, leafValues := &attrs[9], &attrs[10], &attrs[11], &attrs[12]
	base.floats, targets.int = append([]float32(nil), e.Base...), int64(len(e.Base))
	for t, tree := range e.Trees {
		for i, n := range tree.Nodes {
			mode, value := modeBranch, n.Value
			if n.Left == 0 {
				mode, value = modeLeaf, 0
				n = TreeNode{Value: n.Value}
				leafTargets.ints = append(leafTargets.ints, int64(tree.Target))
				leafNodes.ints = append(leafNodes.ints, int64(i))
				leafTrees.ints = append(leafTrees.ints, int64(t))
				leafValues.floats = append(leafValues.floats, n.Value)
			}
			modes.texts = append(modes.texts, mode)
			features.ints = append(features.ints, int64(n.Feature))
			left.ints = append(left.ints, int64(n.Left))
			right.ints = append(right.ints, int64(n.Right))
			values.floats = append(values.floats, value)
			nodes.ints = append(nodes.ints, int64(i))
			trees.ints = append(trees.ints, int64(t))
		}
	}
	return g.add("TreeEnsembleRegressor", name, []string{x}, attrs...)
}

// check says what is wrong with an ensemble.
func (e Trees) check() error {
	if len(e.Base) == 0 {
		return errors.New("trees without a target")
	}
	for t, tree := range e.Trees {
		if tree.Target < 0 || tree.Target >= len(e.Base) || len(tree.Nodes) == 0 {
			return fmt.Errorf("tree %d: %d nodes for target %d of %d", t, len(tree.Nodes), tree.Target, len(e.Base))
		}
		for i, n := range tree.Nodes {
			if n.Left == 0 {
				continue
			}
			// Children behind their parents: every walk ends.
			if n.Left <= i || n.Right <= i || n.Left >= len(tree.Nodes) || n.Right >= len(tree.Nodes) ||
				n.Feature < 0 || n.Feature > maxElements || math.IsNaN(float64(n.Value)) {
				return fmt.Errorf("tree %d: node %d is %+v of %d", t, i, n, len(tree.Nodes))
			}
		}
	}
	return nil
}

// forest is an ensemble laid out for running: the nodes of all trees in a row.
type forest struct {
	base     []float32
	trees    []rooted
	nodes    []forestNode
	features int // least number of inputs
}

// rooted says where in forest.nodes a tree begins, and what it adds to.
type rooted struct{ root, target int32 }

// forestNode is a TreeNode with indices of forest.nodes. A leaf is its own child.
type forestNode struct {
	value   float32
	feature int32
	next    [2]int32 // right, left: by whether x[feature] <= value
}

// newForest lays an ensemble out that check has passed.
func newForest(e Trees) *forest {
	f := &forest{base: e.Base, features: 1}
	for _, tree := range e.Trees {
		root := int32(len(f.nodes))
		f.trees = append(f.trees, rooted{root, int32(tree.Target)})
		for i, n := range tree.Nodes {
			out := forestNode{n.Value, int32(n.Feature), [2]int32{root + int32(n.Right), root + int32(n.Left)}}
			if n.Left == 0 {
				out.feature, out.next = 0, [2]int32{root + int32(i), root + int32(i)}
			}
			f.features = max(f.features, int(out.feature)+1)
			f.nodes = append(f.nodes, out)
		}
	}
	return f
}

// after returns the node that follows node i for x: i itself when it is a leaf. It
// is written for a compiler that makes no branch of it, which the processor could
// only guess.
func (f *forest) after(i int32, x []float32) int32 {
	n := &f.nodes[i]
	left := 0
	if x[n.feature] <= n.value {
		left = 1
	}
	return n.next[left]
}

// leaf returns the value of the leaf that x falls into.
func (f *forest) leaf(root int32, x []float32) float32 {
	i := root
	for next := f.after(i, x); next != i; next = f.after(i, x) {
		i = next
	}
	return f.nodes[i].value
}

// leaves is leaf for four rows at once: their steps do not wait for each other.
func (f *forest) leaves(root int32, a, b, c, d []float32) (va, vb, vc, vd float32) {
	i, j, k, l := root, root, root, root
	for {
		ni, nj, nk, nl := f.after(i, a), f.after(j, b), f.after(k, c), f.after(l, d)
		if ni == i && nj == j && nk == k && nl == l {
			return f.nodes[i].value, f.nodes[j].value, f.nodes[k].value, f.nodes[l].value
		}
		i, j, k, l = ni, nj, nk, nl
	}
}

// Predict answers what the operator answers: the targets [rows, len(e.Base)] of x
// [rows, features]. It panics on an ensemble that Graph would not take and on
// slices that are too short.
func (e Trees) Predict(x []float32, rows, features int, out []float32) {
	if err := e.check(); err != nil {
		panic("onnx: " + err.Error())
	}
	newForest(e).predict(x, rows, features, out)
}

// predict adds each target up in float64, so that the order of the trees does not
// show.
func (f *forest) predict(x []float32, rows, features int, out []float32) {
	const chunk = 64 // rows whose inputs stay in the cache while all trees pass
	targets := len(f.base)
	sums := make([]float64, min(chunk, rows)*targets)
	for from := 0; from < rows; from += chunk {
		n := min(chunk, rows-from)
		for i := range n * targets {
			sums[i] = float64(f.base[i%targets])
		}
		row := func(r int) []float32 { return x[(from+r)*features:][:features] }
		for _, t := range f.trees {
			to, r := sums[t.target:], 0
			for ; r+4 <= n; r += 4 {
				a, b, c, d := f.leaves(t.root, row(r), row(r+1), row(r+2), row(r+3))
				to[r*targets] += float64(a)
				to[(r+1)*targets] += float64(b)
				to[(r+2)*targets] += float64(c)
				to[(r+3)*targets] += float64(d)
			}
			for ; r < n; r++ {
				to[r*targets] += float64(f.leaf(t.root, row(r)))
			}
		}
		for i, v := range sums[:n*targets] {
			out[from*targets+i] = float32(v)
		}
	}
}

// loadTrees reads the ensemble from the attributes, held against what we write:
// trees and nodes numbered from 0 in order, a value for each leaf in order.
func loadTrees(s *step) error {
	a := s.attrs
	right, features, modes := a[2].ints, a[3].ints, a[4].texts
	nodes, trees, left, values := a[5].ints, a[6].ints, a[7].ints, a[8].floats
	targets, leafNodes, leafTrees, leafValues := a[9].ints, a[10].ints, a[11].ints, a[12].floats
	n, leaves := len(modes), len(targets)
	for _, list := range []int{len(right), len(features), len(nodes), len(trees), len(left), len(values)} {
		if list != n {
			return fmt.Errorf("lists of %d and %d nodes", n, list)
		}
	}
	if len(leafNodes) != leaves || len(leafTrees) != leaves || len(leafValues) != leaves {
		return fmt.Errorf("lists of %d, %d, %d and %d leaves", leaves, len(leafNodes), len(leafTrees), len(leafValues))
	}
	e := Trees{Base: a[0].floats}
	if a[1].int != int64(len(e.Base)) {
		return fmt.Errorf("%d base values for %d targets", len(e.Base), a[1].int)
	}
	leaf := 0
	for i := range n {
		switch {
		case trees[i] == int64(len(e.Trees)) && nodes[i] == 0:
			e.Trees = append(e.Trees, Tree{Target: -1})
		case len(e.Trees) == 0 || trees[i] != int64(len(e.Trees)-1) || nodes[i] != int64(len(e.Trees[len(e.Trees)-1].Nodes)):
			return fmt.Errorf("node %d of tree %d is out of order", nodes[i], trees[i])
		}
		tree := &e.Trees[len(e.Trees)-1]
		node := TreeNode{Value: values[i]}
		switch {
		case modes[i] == modeLeaf && leaf < leaves && leafTrees[leaf] == trees[i] && leafNodes[leaf] == nodes[i] &&
			(tree.Target < 0 || int64(tree.Target) == targets[leaf]) && targets[leaf] >= 0 && targets[leaf] < int64(len(e.Base)):
			tree.Target, node.Value = int(targets[leaf]), leafValues[leaf]
			leaf++
		case modes[i] == modeBranch && left[i] > 0 && left[i] < int64(n) && right[i] > 0 && right[i] < int64(n) &&
			features[i] >= 0 && features[i] <= maxElements:
			node.Feature, node.Left, node.Right = int(features[i]), int(left[i]), int(right[i])
		default:
			return fmt.Errorf("node %d of tree %d is not one that our models have", nodes[i], trees[i])
		}
		tree.Nodes = append(tree.Nodes, node)
	}
	if leaf != leaves {
		return fmt.Errorf("values for %d leaves, there are %d", leaves, leaf)
	}
	if err := e.check(); err != nil {
		return err
	}
	s.forest = newForest(e)
	return nil
}

func runTrees(m *memory, s *step, in []tensor) (tensor, error) {
	x, f := in[0], s.forest
	if x.ints != nil || len(x.dims) != 2 || x.dims[1] < f.features {
		return tensor{}, fmt.Errorf("the trees need %d features, got dimensions %v", f.features, x.dims)
	}
	out, err := m.tensor(x.dims[0], len(f.base))
	if err == nil {
		f.predict(x.data, x.dims[0], x.dims[1], out.data)
	}
	return out, err
}
