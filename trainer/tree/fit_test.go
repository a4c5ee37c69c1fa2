package tree

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/forescale/forescale/trainer/onnx"
)

// plain is a configuration without chance: all rows and columns, no shrinkage.
func plain(trees, leaves int) Config {
	c := Defaults()
	c.Trees, c.Leaves, c.MinLeaf, c.Rate, c.Lambda, c.Subsample, c.ColSample, c.Patience = trees, leaves, 1, 1, 0, 1, 1, 0
	return c
}

func fit(t *testing.T, c Config, m Matrix, y, w []float32) *Ensemble {
	t.Helper()
	e, err := Fit(t.Context(), c, Bin(m, MaxBins, 1), y, w, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func predict(e *Ensemble, m Matrix) []float32 {
	out := slices.Repeat([]float32{float32(math.NaN())}, m.Rows) // must be overwritten
	e.Predict(m, out)
	return out
}

// meanError is the mean absolute error of p.
func meanError(p, y []float32) float64 {
	sum := 0.0
	for i := range p {
		sum += math.Abs(float64(p[i] - y[i]))
	}
	return sum / float64(len(p))
}

// column returns a matrix of one column.
func column(values ...float32) Matrix { return Matrix{len(values), 1, values} }

func TestAStepFunctionIsRecoveredExactly(t *testing.T) {
	m, y := Matrix{400, 3, nil}, []float32(nil)
	rng := rand.New(rand.NewPCG(1, 1))
	for range m.Rows {
		x := []float32{float32(rng.IntN(40)), float32(rng.NormFloat64()), float32(rng.IntN(30))}
		m.Data = append(m.Data, x...)
		switch {
		case x[0] <= 12:
			y = append(y, 3)
		case x[2] <= 7:
			y = append(y, -2)
		default:
			y = append(y, 10)
		}
	}
	for _, loss := range []Loss{Absolute, Squared} {
		c := plain(40, 3)
		c.Loss = loss
		e := fit(t, c, m, y, nil)
		if got := meanError(predict(e, m), y); got > 1e-6 {
			t.Errorf("loss %d: mean error %v after %d trees", loss, got, e.Len())
		}
		if loss == Absolute && e.Len() == 40 { // means leave rounding behind
			t.Error("went on after nothing was left")
		}
		unseen := Matrix{3, 3, []float32{12.4, 0, 99, 12.6, 5, 7.4, 1e9, -3, 7.6}}
		if got := predict(e, unseen); meanError(got, []float32{3, -2, 10}) > 1e-6 {
			t.Errorf("loss %d: between and beyond the data it says %v, want 3, -2, 10", loss, got)
		}
	}
}

func TestTreesLearnWhatNoLineCan(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	m, y := wavy(rng, 3000, 15)
	unseen, want := wavy(rng, 2000, 15)
	c := Defaults()
	c.Rate, c.Patience = 0.1, 0
	got := meanError(predict(fit(t, c, m, y, nil), unseen), want)
	constant := meanError(slices.Repeat([]float32{median(unit(y))}, len(want)), want)
	line := meanError(leastSquares(t, m, y, unseen), want)
	// What is left of the trees' error is mostly the products'.
	if got > 0.5*constant || got > 0.6*line {
		t.Errorf("mean error %.3f on unseen rows, that of a constant is %.3f, of a line %.3f", got, constant, line)
	}
}

// leastSquares fits a plane and returns its forecasts for unseen.
func leastSquares(t *testing.T, m Matrix, y []float32, unseen Matrix) []float32 {
	t.Helper()
	design := func(m Matrix) *mat.Dense {
		x := mat.NewDense(m.Rows, m.Cols+1, nil)
		for i := range m.Rows {
			x.Set(i, m.Cols, 1)
			for j, v := range m.Row(i) {
				x.Set(i, j, float64(v))
			}
		}
		return x
	}
	target := mat.NewVecDense(len(y), nil)
	for i, v := range y {
		target.SetVec(i, float64(v))
	}
	var weights, answer mat.VecDense
	if err := weights.SolveVec(design(m), target); err != nil {
		t.Fatal(err)
	}
	answer.MulVec(design(unseen), &weights)
	out := make([]float32, unseen.Rows)
	for i := range out {
		out[i] = float32(answer.AtVec(i))
	}
	return out
}

func unit(values []float32) (v []weighted) {
	for _, x := range values {
		v = append(v, weighted{x, 1})
	}
	return v
}

func TestOutliersDoNotMoveTheAbsoluteError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	m, y := wavy(rng, 3000, 10)
	unseen, want := wavy(rng, 2000, 10)
	for i := range y {
		if rng.IntN(20) == 0 {
			y[i] += 1000
		}
	}
	c := Defaults()
	c.Patience = 0
	absolute := meanError(predict(fit(t, c, m, y, nil), unseen), want)
	c.Loss = Squared
	squared := meanError(predict(fit(t, c, m, y, nil), unseen), want)
	if absolute > 1 || squared < 20*absolute {
		t.Errorf("mean error on clean rows: %.3f by the absolute loss, %.3f by the squared; want at most 1, and 20 times that", absolute, squared)
	}
}

func TestAWeightIsAsManyRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	m, y := wavy(rng, 300, 4)
	weight := make([]float32, m.Rows)
	repeated, repeatedY := Matrix{Cols: m.Cols}, []float32(nil)
	for i := range weight {
		weight[i] = float32(rng.IntN(4)) // 0 among them
		for range int(weight[i]) {
			repeated.Rows++
			repeated.Data = append(repeated.Data, m.Row(i)...)
			repeatedY = append(repeatedY, y[i])
		}
	}
	c := plain(5, 6)
	binned := Bin(m, MaxBins, 1)
	a, err := Fit(t.Context(), c, binned, y, weight, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The same thresholds on both sides: bins follow the rows, not the weights.
	same := &Binned{rows: repeated.Rows, cols: m.Cols, edges: binned.edges, bins: make([]uint8, len(repeated.Data))}
	for i := range repeated.Rows {
		for j, v := range repeated.Row(i) {
			same.bins[j*same.rows+i] = binOf(same.edges[j], v)
		}
	}
	b, err := Fit(t.Context(), c, same, repeatedY, nil, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := predict(a, m), predict(b, m); meanError(got, want) > 1e-6 {
		t.Errorf("with weights %v, with repeated rows %v", got[:8], want[:8])
	}
}

func TestRowsWithoutATargetAreLeftOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	m, y := wavy(rng, 500, 5)
	c := Defaults()
	c.Trees, c.Patience = 20, 0
	binned := Bin(m, 63, 1)
	weight, holes := slices.Repeat([]float32{2}, len(y)), slices.Clone(y)
	for i := range y {
		if i%3 == 0 {
			weight[i], holes[i] = 0, float32(math.NaN())
		}
	}
	byWeight, err := Fit(t.Context(), c, binned, y, weight, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	byTarget, err := Fit(t.Context(), c, binned, holes, nil, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := predict(byTarget, m), predict(byWeight, m); !slices.Equal(got, want) {
		t.Errorf("a NaN target is not as a weight of 0: %v and %v", got[:6], want[:6])
	}
	all, err := Fit(t.Context(), c, binned, y, nil, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(predict(all, m), predict(byWeight, m)) {
		t.Error("leaving a third of the rows out changes nothing")
	}
}

func TestFittingStopsWhereTheValidationLossIsLeast(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	m, y := wavy(rng, 600, 8)
	for i := range y { // much noise: many trees learn it by heart
		y[i] += 3 * float32(rng.NormFloat64())
	}
	valid, vy := wavy(rng, 400, 8)
	c := Defaults()
	c.Rate, c.MinLeaf, c.Patience = 0.3, 2, 0
	binned := Bin(m, MaxBins, 1)
	whole, err := Fit(t.Context(), c, binned, y, nil, Matrix{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The loss after each tree, worked out by predicting with that many.
	best, at := math.Inf(1), 0
	for n := range whole.Len() + 1 {
		if loss := meanError(predict(&Ensemble{whole.base, whole.trees[:n]}, valid), vy); loss < best {
			best, at = loss, n
		}
	}
	c.Patience = 40
	stopped, err := Fit(t.Context(), c, binned, y, nil, valid, vy, nil)
	if err != nil {
		t.Fatal(err)
	}
	if at == 0 || at+40 >= whole.Len() {
		t.Fatalf("the best of %d trees are %d: the test shows nothing", whole.Len(), at)
	}
	if stopped.Len() != at {
		t.Errorf("%d trees were kept, the validation loss is least after %d", stopped.Len(), at)
	}
	if !slices.Equal(predict(stopped, valid), predict(&Ensemble{whole.base, whole.trees[:at]}, valid)) {
		t.Error("the trees kept are not the first of those that would have been fitted")
	}
}

func TestNoTreesAreKeptWhereNoneHelps(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	m, y := wavy(rng, 200, 3)
	opposite := make([]float32, len(y)) // whatever is learnt is wrong
	base := median(unit(y))
	for i := range y {
		opposite[i] = 2*base - y[i]
	}
	c := Defaults()
	c.Patience = 5
	e, err := Fit(t.Context(), c, Bin(m, 63, 1), y, nil, m, opposite, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := predict(e, m); e.Len() != 0 || got[0] != base || got[199] != base {
		t.Errorf("%d trees, forecasts %v, want the median %v", e.Len(), got[:3], base)
	}
}

func TestTheResultDoesNotDependOnTheNumberOfWorkers(t *testing.T) {
	m, y := wavy(rand.New(rand.NewPCG(8, 1)), 4000, 20)
	valid, vy := wavy(rand.New(rand.NewPCG(8, 2)), 500, 20)
	model := func(workers int, seed uint64) []byte {
		c := Defaults()
		c.Trees, c.Workers, c.Seed = 25, workers, seed
		e, err := Fit(t.Context(), c, Bin(m, 100, workers), y, nil, valid, vy, nil)
		if err != nil {
			t.Fatal(err)
		}
		return graph(e.Trees(), m.Cols).Marshal()
	}
	want := model(1, 1)
	for _, workers := range []int{0, 2, 3, 7, 100} {
		if !slices.Equal(model(workers, 1), want) {
			t.Errorf("%d workers fit other trees than one", workers)
		}
	}
	if slices.Equal(model(1, 2), want) {
		t.Error("another seed gives the same trees")
	}
}

// graph is a model of nothing but trees.
func graph(e onnx.Trees, cols int) *onnx.Graph {
	g := onnx.NewGraph("trees")
	x := g.Input(onnx.SeriesInput, onnx.DynamicBatch, 1, cols)
	g.Reshape(onnx.ForecastOutput, g.TreeEnsembleRegressor("trees", g.Squeeze("flat", x, 1), e), -1, int64(len(e.Base)))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, len(e.Base))
	return g
}

func TestTheExportedGraphAnswersWhatPredictDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	m, y := wavy(rng, 2000, 12)
	nan := float32(math.NaN())
	for i := range m.Data {
		if rng.IntN(20) == 0 {
			m.Data[i] = []float32{nan, 0, float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32}[rng.IntN(5)]
		}
	}
	for i := range y {
		if y[i] != y[i] || math.IsInf(float64(y[i]), 0) {
			y[i] = 0
		}
	}
	var ensembles []*Ensemble
	for k := range 3 {
		c := Defaults()
		c.Patience, c.Trees, c.Seed, c.Columns = 0, 30, uint64(k), [][]int{nil, {0, 3, 5, 6}, {}}[k]
		ensembles = append(ensembles, fit(t, c, m, y, nil))
	}
	// Target k reads the columns from k on, round the matrix.
	merged := Merge(ensembles, func(k, j int) int { return (j + k) % m.Cols })
	program, err := onnx.Load(graph(merged, m.Cols).Marshal())
	if err != nil {
		t.Fatal(err)
	}
	got, err := program.Run(m.Data, nil, m.Rows)
	if err != nil {
		t.Fatal(err)
	}
	for k, e := range ensembles {
		turned := Matrix{m.Rows, m.Cols, make([]float32, len(m.Data))}
		for i := range m.Rows {
			for j := range m.Cols {
				turned.Data[i*m.Cols+j] = m.Data[i*m.Cols+(j+k)%m.Cols]
			}
		}
		for i, v := range predict(e, turned) {
			sum := float64(e.base)
			for _, tree := range e.trees {
				sum += float64(leafValue(tree.Nodes, turned.Row(i)))
			}
			if got[i*3+k] != v || v != float32(sum) {
				t.Fatalf("target %d, row %d: the graph says %v, Predict %v, a plain walk %v", k, i, got[i*3+k], v, float32(sum))
			}
		}
	}
	if ensembles[2].Len() != 0 {
		t.Error("trees were fitted to no columns")
	}
}

func TestFittingStepsThroughBinsAsPredictingStepsThroughNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 1))
	m, y := wavy(rng, 1500, 6)
	for i := range m.Data {
		switch rng.IntN(10) {
		case 0:
			m.Data[i] = float32(math.NaN())
		case 1:
			m.Data[i] = float32(rng.IntN(3))
		}
	}
	for i := range y {
		y[i] = float32(rng.NormFloat64())
	}
	for _, subsample := range []float64{1, 0.5} {
		c := plain(20, 9)
		c.Subsample, c.Rate = subsample, 0.3
		b, err := newBoost(c, Bin(m, 37, 1), y, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range c.Trees {
			if !b.round(n) {
				t.Fatal("stopped early")
			}
		}
		for i, p := range predict(b.ensemble, m) {
			if diff := math.Abs(float64(y[i] - p - b.residual[i])); diff > 1e-5 {
				t.Fatalf("row %d: fitting leaves %v, predicting %v", i, b.residual[i], y[i]-p)
			}
		}
	}
}
