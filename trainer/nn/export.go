package nn

import (
	"fmt"

	"github.com/forescale/forescale/trainer/onnx"
)

// Export adds the network to an ONNX graph and returns the name of its result y
// [batch, Horizon]. x names the input [batch, Lookback, Channels], batch-major as
// ONNX inputs are, and features the features [batch, Features]. Every
// name that it adds begins with prefix.
func Export(g *onnx.Graph, prefix string, n *Network, flat []float32, x, features string) string {
	params := n.Params()
	next := func() (Param, []float32) {
		p := params[0]
		params = params[1:]
		return p, flat[p.Offset : p.Offset+p.Len()]
	}
	constant := func() string {
		p, v := next()
		return g.Constant(prefix+p.Name, v, p.Rows, p.Cols)
	}
	h := g.Transpose(prefix+"steps_first", x, 1, 0, 2)
	for l := range n.Layers {
		w, wv := next()
		r, rv := next()
		b, bv := next()
		layer := fmt.Sprintf("%slstm%d", prefix, l)
		// The operator has a bias for each of its two products; ours goes to the
		// first.
		states := g.LSTM(layer+".states", h,
			g.Constant(prefix+w.Name, transposed(wv, w.Rows, w.Cols), 1, w.Cols, w.Rows),
			g.Constant(prefix+r.Name, transposed(rv, r.Rows, r.Cols), 1, r.Cols, r.Rows),
			g.Constant(prefix+b.Name, append(append([]float32(nil), bv...), make([]float32, b.Cols)...), 1, 2*b.Cols),
			n.Hidden)
		h = g.Squeeze(layer, states, 1)
	}
	var v string
	if n.Attention {
		v = pooled(g, prefix, n, h, constant())
	} else {
		v = g.Squeeze(prefix+"last_state", g.Slice(prefix+"last_step", h, 0, int64(n.Lookback-1), int64(n.Lookback)), 0)
	}
	if n.Features > 0 {
		v = g.Concat(prefix+"head_input", 1, v, features)
	}
	dense := func(name, x string) string { return g.MatMul(prefix+name, x, constant()) }
	a := g.Relu(prefix+"head_hidden", g.Add(prefix+"head_sum", dense("head_product", v), constant()))
	y := g.Add(prefix+"output", dense("output_product", a), constant())
	if n.Linear {
		y = g.Add(prefix+"output_with_linear", y, dense("linear_path", v))
	}
	return y
}

// pooled adds the attention over the states h [T, B, H] with v [H, 1] and returns
// the name of its result [B, H].
func pooled(g *onnx.Graph, prefix string, n *Network, h, v string) string {
	rows := g.Reshape(prefix+"attention.rows", h, -1, int64(n.Hidden))
	scores := g.Reshape(prefix+"attention.scores", g.MatMul(prefix+"attention.products", rows, v), int64(n.Lookback), -1, 1)
	weights := g.Softmax(prefix+"attention.weights", scores, 0)
	return g.ReduceSum(prefix+"attention", g.Mul(prefix+"attention.weighted", weights, h), 0)
}

// transposed returns the transpose of a row-major matrix.
func transposed(m []float32, rows, cols int) []float32 {
	out := make([]float32, len(m))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = m[i*cols+j]
		}
	}
	return out
}
