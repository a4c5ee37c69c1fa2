package onnx

// The methods of this file add one node each, by the operators of opset 17. An
// axis counts from 0, or from the end when negative.

// Add returns a + b with broadcasting.
func (g *Graph) Add(name, a, b string) string { return g.add("Add", name, []string{a, b}) }

// Sub returns a - b with broadcasting.
func (g *Graph) Sub(name, a, b string) string { return g.add("Sub", name, []string{a, b}) }

// Mul returns a * b with broadcasting, element by element.
func (g *Graph) Mul(name, a, b string) string { return g.add("Mul", name, []string{a, b}) }

// Div returns a / b with broadcasting: IEEE division, no error for b = 0.
func (g *Graph) Div(name, a, b string) string { return g.add("Div", name, []string{a, b}) }

// Max returns the larger of a and b with broadcasting, NaN where one is NaN.
func (g *Graph) Max(name, a, b string) string { return g.add("Max", name, []string{a, b}) }

// Min returns the smaller of a and b with broadcasting, NaN where one is NaN.
func (g *Graph) Min(name, a, b string) string { return g.add("Min", name, []string{a, b}) }

// Neg returns -x.
func (g *Graph) Neg(name, x string) string { return g.add("Neg", name, []string{x}) }

// Abs returns |x|.
func (g *Graph) Abs(name, x string) string { return g.add("Abs", name, []string{x}) }

// Log returns the natural logarithm: -Inf for 0, NaN below it.
func (g *Graph) Log(name, x string) string { return g.add("Log", name, []string{x}) }

// Exp returns e to the power x.
func (g *Graph) Exp(name, x string) string { return g.add("Exp", name, []string{x}) }

// Sqrt returns the square root: NaN below 0.
func (g *Graph) Sqrt(name, x string) string { return g.add("Sqrt", name, []string{x}) }

// Sigmoid returns 1 / (1 + exp(-x)).
func (g *Graph) Sigmoid(name, x string) string { return g.add("Sigmoid", name, []string{x}) }

// Tanh returns the hyperbolic tangent.
func (g *Graph) Tanh(name, x string) string { return g.add("Tanh", name, []string{x}) }

// Softplus returns log(1 + exp(x)).
func (g *Graph) Softplus(name, x string) string { return g.add("Softplus", name, []string{x}) }

// Softmax returns exp(x) / Σ exp(x), the sum over the axis.
func (g *Graph) Softmax(name, x string, axis int64) string {
	return g.add("Softmax", name, []string{x}, attr{name: "axis", kind: attrInt, int: axis})
}

// ReduceSum returns the sums of x over the axis, which is dropped.
func (g *Graph) ReduceSum(name, x string, axis int64) string {
	return g.add("ReduceSum", name, []string{x, g.intConstant(name+".axes", axis)}, attr{name: "keepdims", kind: attrInt})
}

// ReduceMean returns the means of x over the axis, which is dropped.
func (g *Graph) ReduceMean(name, x string, axis int64) string {
	return g.add("ReduceMean", name, []string{x},
		attr{name: "axes", kind: attrInts, ints: []int64{axis}}, attr{name: "keepdims", kind: attrInt})
}

// MatMul returns the matrix product a·b over the last axis of a and the first of
// the matrix b.
func (g *Graph) MatMul(name, a, b string) string { return g.add("MatMul", name, []string{a, b}) }

// Relu returns max(x, 0).
func (g *Graph) Relu(name, x string) string { return g.add("Relu", name, []string{x}) }

// Clip returns x limited to [low, high]; an infinite x becomes a limit.
func (g *Graph) Clip(name, x string, low, high float32) string {
	l := g.Constant(name+".min", []float32{low})
	h := g.Constant(name+".max", []float32{high})
	return g.add("Clip", name, []string{x, l, h})
}

// Transpose returns x with its axes in the given order.
func (g *Graph) Transpose(name, x string, perm ...int64) string {
	return g.add("Transpose", name, []string{x}, attr{name: "perm", kind: attrInts, ints: perm})
}

// Squeeze returns x without the given axis, which has size 1.
func (g *Graph) Squeeze(name, x string, axis int64) string {
	return g.add("Squeeze", name, []string{x, g.intConstant(name+".axes", axis)})
}

// Unsqueeze returns x with a further axis of size 1, which is the given one of
// the result.
func (g *Graph) Unsqueeze(name, x string, axis int64) string {
	return g.add("Unsqueeze", name, []string{x, g.intConstant(name+".axes", axis)})
}

// Reshape returns x with other dimensions: 0 is the one that x has there, and one
// may be -1, which follows from the others.
func (g *Graph) Reshape(name, x string, dims ...int64) string {
	return g.add("Reshape", name, []string{x, g.intConstant(name+".shape", dims...)})
}

// Gather returns the elements of x at the indices along the axis, in that order;
// -1 is the last.
func (g *Graph) Gather(name, x string, axis int64, indices ...int64) string {
	return g.add("Gather", name, []string{x, g.intConstant(name+".indices", indices...)},
		attr{name: "axis", kind: attrInt, int: axis})
}

// Slice returns elements [from, to) of x along the axis.
func (g *Graph) Slice(name, x string, axis, from, to int64) string {
	return g.add("Slice", name, []string{x,
		g.intConstant(name+".starts", from), g.intConstant(name+".ends", to), g.intConstant(name+".axes", axis)})
}

// Concat returns the values one behind the other along the axis.
func (g *Graph) Concat(name string, axis int64, xs ...string) string {
	return g.add("Concat", name, xs, attr{name: "axis", kind: attrInt, int: axis})
}

// LSTM returns the hidden states [T, 1, B, H] of x [T, B, C], started from zero
// states, for w [1, 4H, C], r [1, 4H, H] and b [1, 8H] with the gates in the
// order i, o, f, c. The first half of b belongs to w, the second to r.
func (g *Graph) LSTM(name, x, w, r, b string, hidden int) string {
	return g.add("LSTM", name, []string{x, w, r, b},
		attr{name: "direction", kind: attrString, text: "forward"},
		attr{name: "hidden_size", kind: attrInt, int: int64(hidden)})
}
