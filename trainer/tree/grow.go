package tree

import (
	"slices"

	"github.com/forescale/forescale/trainer/onnx"
)

// leaf is a leaf of the tree that grows.
type leaf struct {
	node     int // index of grower.nodes
	from, to int // its part of grower.rows
	total    packed
	best     split
	hist     []histogram // by place in grower.columns; nil: it is not to be split
}

// grower grows trees on one data set and keeps its memory between them.
type grower struct {
	config  Config
	data    *Binned
	columns []int // those that the tree may split on
	scale   scale

	rows   []int32  // the tree's rows, those of one leaf in one piece
	values []packed // of the same rows
	asideR []int32
	asideV []packed

	nodes  []onnx.TreeNode // leaves have no values yet
	bins   []uint8         // the bin of a branch's threshold
	leaves []leaf

	found [2][]split    // by place in columns, for two leaves at once
	spare [][]histogram // memory of histograms not in use
}

// grow grows a tree over g.rows, with the gradients that values holds, best leaf
// first, until it has all its leaves or nothing is gained.
func (g *grower) grow() {
	g.nodes, g.bins = append(g.nodes[:0], onnx.TreeNode{}), append(g.bins[:0], 0)
	for _, l := range g.leaves {
		g.recycle(l.hist)
	}
	root := leaf{to: len(g.rows), hist: g.histograms()}
	for _, v := range g.values {
		root.total += v
	}
	g.leaves = append(g.leaves[:0], root)
	g.search(&g.leaves[0], nil)
	for len(g.leaves) < g.config.Leaves {
		at := 0
		for i := range g.leaves {
			if g.leaves[i].best.gain > g.leaves[at].best.gain {
				at = i
			}
		}
		if g.leaves[at].best.gain <= 0 {
			return
		}
		g.split(at)
	}
}

// split makes a branch of a leaf.
func (g *grower) split(at int) {
	parent := g.leaves[at]
	middle := g.partition(parent)
	node := &g.nodes[parent.node]
	node.Feature, node.Value = parent.best.column, g.data.edges[parent.best.column][parent.best.bin]
	node.Left, node.Right = len(g.nodes), len(g.nodes)+1
	g.bins[parent.node] = parent.best.bin
	left := leaf{node: node.Left, from: parent.from, to: middle}
	right := leaf{node: node.Right, from: middle, to: parent.to}
	g.nodes = append(g.nodes, onnx.TreeNode{}, onnx.TreeNode{})
	g.bins = append(g.bins, 0, 0)
	for _, v := range g.values[left.from:left.to] {
		left.total += v
	}
	right.total = parent.total - left.total
	g.leaves[at] = left
	g.leaves = append(g.leaves, right)
	small, large := &g.leaves[at], &g.leaves[len(g.leaves)-1]
	if small.to-small.from > large.to-large.from {
		small, large = large, small
	}
	if len(g.leaves) == g.config.Leaves {
		g.recycle(parent.hist)
		return // nothing is split any more
	}
	small.hist, large.hist = g.histograms(), parent.hist
	g.search(small, large)
}

// partition orders the leaf's rows such that those that go left come first, each
// side in its old order, and returns where the right ones begin.
func (g *grower) partition(l leaf) int {
	column, bin := g.data.column(l.best.column), l.best.bin
	rows, values := g.rows[l.from:l.to], g.values[l.from:l.to]
	left, right := 0, 0
	for i, r := range rows {
		if column[r] <= bin {
			rows[left], values[left] = r, values[i]
			left++
		} else {
			g.asideR[right], g.asideV[right] = r, values[i]
			right++
		}
	}
	copy(rows[left:], g.asideR[:right])
	copy(values[left:], g.asideV[:right])
	return l.from + left
}

// search fills the histograms of small by its rows, turns those of large, which
// are their common parent's, into its own, and finds the best split of each.
func (g *grower) search(small, large *leaf) {
	workers := g.config.Workers
	if (small.to-small.from)*len(g.columns) < 1<<15 {
		workers = 1 // a goroutine costs more
	}
	parallel(workers, len(g.columns), func(from, to int) {
		rows, values := g.rows[small.from:small.to], g.values[small.from:small.to]
		for k := from; k < to; k++ {
			j := g.columns[k]
			bins := len(g.data.edges[j]) + 1
			h := &small.hist[k]
			clear(h[:bins])
			h.add(g.data.column(j), rows, values)
			g.found[0][k] = h.best(j, bins, small.total, g.scale)
			if large == nil {
				continue
			}
			hl := &large.hist[k]
			for b, v := range h[:bins] {
				hl[b] -= v
			}
			g.found[1][k] = hl.best(j, bins, large.total, g.scale)
		}
	})
	small.best = bestOf(g.found[0][:len(g.columns)])
	if large != nil {
		large.best = bestOf(g.found[1][:len(g.columns)])
	}
}

// bestOf returns the first split of the largest gain.
func bestOf(found []split) (best split) {
	for _, s := range found {
		if s.gain > best.gain {
			best = s
		}
	}
	return best
}

// histograms returns memory for the histograms of a leaf, with any contents.
func (g *grower) histograms() []histogram {
	if n := len(g.spare); n > 0 {
		h := g.spare[n-1]
		g.spare = g.spare[:n-1]
		return h[:len(g.columns)]
	}
	return make([]histogram, len(g.columns))
}

func (g *grower) recycle(h []histogram) {
	if h != nil {
		g.spare = append(g.spare, h)
	}
}

// leafOf returns the node that a row of the data ends in.
func (g *grower) leafOf(row int32) int {
	i := 0
	for g.nodes[i].Left != 0 {
		n := &g.nodes[i]
		if g.data.bins[n.Feature*g.data.rows+int(row)] <= g.bins[i] {
			i = n.Left
		} else {
			i = n.Right
		}
	}
	return i
}

// tree returns the tree that was grown.
func (g *grower) tree() onnx.Tree { return onnx.Tree{Nodes: slices.Clone(g.nodes)} }
