//go:build system

package trainer

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// checkModel holds a file against the ONNX specification: structure, operators,
// types and, by full_check, the shapes that follow.
const checkModel = `
import sys, onnx
model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
assert model.opset_import[0].version >= 17, model.opset_import
assert [o.name for o in model.graph.output] == ["forecast", "quantiles", "peaks"], model.graph.output
dims = [d.dim_param or d.dim_value for d in onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output[0].type.tensor_type.shape.dim]
assert dims == ["batch", 3], dims
`

// TestSystemModelsPassTheChecker needs python3-onnx. The checker of Debian's
// version (1.12) has no reference evaluator yet.
func TestSystemModelsPassTheChecker(t *testing.T) {
	python := os.Getenv("FORESCALE_PYTHON")
	if python == "" {
		t.Fatal("FORESCALE_PYTHON is not set; run make test-system")
	}
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, train(t, quick(preset), history(6, 1)).Model, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(python, "-c", checkModel, path).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
