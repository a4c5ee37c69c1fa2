//go:build system

package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// numpyModel holds a file against the ONNX specification (structure, operators,
// types and, by full_check, the shapes that follow) and runs it with numpy, by a
// line for each operator. Debian's onnx 1.12 has no reference evaluator yet.
const numpyModel = `
import sys, numpy as np, onnx
from onnx import numpy_helper, helper
path, rows = sys.argv[1], int(sys.argv[2])
model = onnx.load(path + "/model.onnx")
onnx.checker.check_model(model, full_check=True)
assert {o.domain: o.version for o in model.opset_import} == {"": 17, "ai.onnx.ml": 3}, model.opset_import
inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
dims = [[d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in inferred.graph.output]
assert dims == [["batch", 2], ["batch", 2, 2]], dims

f32 = np.float32
def lstm(x, w, r, b, a):
    H = a["hidden_size"]
    sig = lambda z: 1 / (1 + np.exp(-z))
    h = c = np.zeros((x.shape[1], H), f32)
    out = []
    for t in x:
        z = t @ w[0].T + h @ r[0].T + b[0, :4 * H] + b[0, 4 * H:]
        i, o, f, g = sig(z[:, :H]), sig(z[:, H:2 * H]), sig(z[:, 2 * H:3 * H]), np.tanh(z[:, 3 * H:])
        c = f * c + i * g
        h = o * np.tanh(c)
        out.append(h)
    return np.stack(out)[:, None]

def trees(x, a):
    out = np.tile(np.array(a["base_values"], f32), (len(x), 1))
    node = {(t, n): i for i, (t, n) in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"]))}
    leaf = {}
    for t, n, k, w in zip(a["target_treeids"], a["target_nodeids"], a["target_ids"], a["target_weights"]):
        leaf.setdefault((t, n), []).append((k, f32(w)))
    for row, y in zip(x, out):
        for t in sorted(set(a["nodes_treeids"])):
            n = 0
            while a["nodes_modes"][node[t, n]] != b"LEAF":
                i = node[t, n]
                assert a["nodes_modes"][i] == b"BRANCH_LEQ"
                n = a["nodes_truenodeids" if row[a["nodes_featureids"][i]] <= f32(a["nodes_values"][i]) else "nodes_falsenodeids"][i]
            for k, w in leaf[t, n]:
                y[k] += w
    return out

def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)

def reshape(x, dims):
    return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(dims)])

def slices(x, start, end, axis):
    at = [slice(None)] * x.ndim
    at[axis[0]] = slice(start[0], end[0])
    return x[tuple(at)]

ops = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "Max": lambda a, x, y: np.maximum(x, y), "Min": lambda a, x, y: np.minimum(x, y),
    "Relu": lambda a, x: np.maximum(x, 0), "Neg": lambda a, x: -x, "Abs": lambda a, x: np.abs(x), "Log": lambda a, x: np.log(x),
    "Exp": lambda a, x: np.exp(x), "Sqrt": lambda a, x: np.sqrt(x), "Sigmoid": lambda a, x: 1 / (1 + np.exp(-x)),
    "Tanh": lambda a, x: np.tanh(x), "Softplus": lambda a, x: np.logaddexp(x, f32(0)), "Clip": lambda a, x, l, h: np.clip(x, l, h),
    "Softmax": lambda a, x: softmax(x, a["axis"]),
    "ReduceSum": lambda a, x, axes: x.sum(axis=tuple(axes), keepdims=bool(a["keepdims"])),
    "ReduceMean": lambda a, x: x.mean(axis=tuple(a["axes"]), keepdims=bool(a["keepdims"])),
    "Transpose": lambda a, x: x.transpose(a["perm"]), "Squeeze": lambda a, x, axes: x.squeeze(tuple(axes)),
    "Unsqueeze": lambda a, x, axes: np.expand_dims(x, tuple(axes)), "Reshape": lambda a, x, dims: reshape(x, dims),
    "Slice": lambda a, x, start, end, axis: slices(x, start, end, axis),
    "Gather": lambda a, x, indices: np.take(x, indices, axis=a["axis"]), "Concat": lambda a, *xs: np.concatenate(xs, axis=a["axis"]),
    "MatMul": lambda a, x, y: x @ y, "LSTM": lambda a, x, w, r, b: lstm(x, w, r, b, a),
    "TreeEnsembleRegressor": lambda a, x: trees(x, a),
}
read = lambda name: np.fromfile(path + "/" + name, f32)
values = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
values["series"], values["context"] = read("series").reshape(rows, 2, 3), read("context").reshape(rows, 4)
for n in model.graph.node:
    a = {x.name: helper.get_attribute_value(x) for x in n.attribute}
    values[n.output[0]] = ops[n.op_type](a, *[values[i] for i in n.input]).astype(f32)
for name in ["forecast", "quantiles"]:
    want, got = values[name], read(name).reshape(values[name].shape)
    assert np.allclose(got, want, rtol=1e-5, atol=1e-5, equal_nan=True), (name, got, want)
`

func TestSystemEveryOperatorAnswersAsInNumpy(t *testing.T) {
	python := os.Getenv("FORESCALE_PYTHON")
	if python == "" {
		t.Fatal("FORESCALE_PYTHON is not set; run make test-system")
	}
	const rows = 40
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	series, context := make([]float32, rows*6), make([]float32, rows*4)
	for _, v := range [][]float32{series, context} {
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
	}
	context[7] = float32(math.NaN())
	model := everything().Marshal()
	p, err := Load(model)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Answer(series, context, rows)
	if err != nil {
		t.Fatal(err)
	}
	write("model.onnx", model)
	for name, v := range map[string][]float32{"series": series, "context": context, "forecast": a.Forecast, "quantiles": a.Quantiles} {
		write(name, packFloats(v))
	}
	if out, err := exec.Command(python, "-c", numpyModel, dir, fmt.Sprint(rows)).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
