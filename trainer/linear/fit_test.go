package linear

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// generated is a problem of rows with n columns: y = x·beta + 0.5 + noise.
func generated(rows int, beta []float64, noise func(*rand.Rand) float64, seed uint64) Problem {
	rng := rand.New(rand.NewPCG(seed, 3))
	p := Problem{Rows: rows, Cols: len(beta)}
	for range rows {
		y := 0.5
		for _, b := range beta {
			x := float32(rng.NormFloat64())
			p.X = append(p.X, x)
			y += b * float64(x)
		}
		p.Y, p.Slope = append(p.Y, float32(y+noise(rng))), append(p.Slope, 1)
	}
	return p
}

// loss is Σ Slope |Y - X·β - b|.
func (p Problem) loss(m Model) float64 {
	sum := 0.0
	for i := range p.Rows {
		sum += float64(p.Slope[i]) * math.Abs(float64(p.Y[i])-m.Predict(p.X[i*p.Cols:][:p.Cols]))
	}
	return sum
}

// exact returns the least loss of any model of one column. Some best line goes
// through two of the points, as an optimal vertex of the linear program does.
func (p Problem) exact() float64 {
	best := math.Inf(1)
	for i := range p.Rows {
		for j := range i {
			dx := float64(p.X[i] - p.X[j])
			if dx == 0 {
				continue
			}
			slope := float64(p.Y[i]-p.Y[j]) / dx
			best = min(best, p.loss(Model{Coef: []float64{slope}, Intercept: float64(p.Y[i]) - slope*float64(p.X[i])}))
		}
	}
	return best
}

func gauss(r *rand.Rand) float64 { return r.NormFloat64() }

// heavy has a tenth of errors a hundred times the others.
func heavy(r *rand.Rand) float64 {
	if r.IntN(10) == 0 {
		return 30 * r.NormFloat64()
	}
	return 0.3 * r.NormFloat64()
}

func TestTheAbsoluteErrorComesNearTheLeastPossible(t *testing.T) {
	for name, noise := range map[string]func(*rand.Rand) float64{"normal errors": gauss, "heavy tails": heavy,
		"one-sided errors": func(r *rand.Rand) float64 { return r.ExpFloat64() }} {
		for seed := range uint64(10) {
			p := generated(60, []float64{2}, noise, seed)
			for i := range p.Slope {
				p.Slope[i] = float32(1 + i%3)
			}
			models, err := Fit(p, []float64{1e-6}, 30)
			if err != nil {
				t.Fatal(err)
			}
			// Errors about the median and below count squared, which costs a little.
			if got, least := p.loss(models[0]), p.exact(); got > 1.05*least || got < least*(1-1e-5) {
				t.Errorf("%s, seed %d: absolute error %g, the least is %g", name, seed, got, least)
			}
		}
	}
}

// TestWithoutFeaturesTheModelIsHubersLocation: at the solution, the errors, each
// cut off at ±δ, are in balance.
func TestWithoutFeaturesTheModelIsHubersLocation(t *testing.T) {
	p := Problem{Rows: 5, Y: []float32{1, 2, 3, 50, 1000}, Slope: []float32{1, 1, 1, 1, 1}}
	for _, slope := range [][]float32{{1, 1, 1, 1, 1}, {9, 1, 1, 1, 1}, {1, 1, 1, 5, 1}} {
		p.Slope = slope
		models, err := Fit(p, []float64{1}, 200)
		if err != nil {
			t.Fatal(err)
		}
		delta := squareShare * p.medianError(models[0])
		balance := 0.0
		for i, s := range p.Slope {
			e := float64(s) * (float64(p.Y[i]) - models[0].Intercept)
			balance += float64(s) * min(max(e/delta, -1), 1)
		}
		if math.Abs(balance) > 0.01 {
			t.Errorf("slopes %v: at %g the errors are out of balance by %g", slope, models[0].Intercept, balance)
		}
	}
}

// ridge is the minimum of Σ w (Y - Xβ - b)² + λ β² in float64, w of mean 1 over the
// rows that count.
func ridge(p Problem, weight []float64, lambda float64) []float64 {
	n := p.Cols + 1
	known := 0
	for _, w := range weight {
		if w > 0 {
			known++
		}
	}
	z, y := mat.NewDense(p.Rows, n, nil), mat.NewVecDense(p.Rows, nil)
	total := 0.0
	for _, w := range weight {
		total += w
	}
	for i := range p.Rows {
		root := math.Sqrt(weight[i] * float64(known) / total)
		for j := range p.Cols {
			z.Set(i, j, root*float64(p.X[i*p.Cols+j]))
		}
		z.Set(i, p.Cols, root)
		y.SetVec(i, root*float64(p.Y[i]))
	}
	var a mat.Dense
	var b, beta mat.VecDense
	a.Mul(z.T(), z)
	b.MulVec(z.T(), y)
	for j := range p.Cols {
		a.Set(j, j, a.At(j, j)+lambda)
	}
	if err := beta.SolveVec(&a, &b); err != nil {
		panic(err)
	}
	return beta.RawVector().Data
}

func TestOneRoundIsRidgeRegression(t *testing.T) {
	for _, rows := range []int{3, 100, blockRows, blockRows + 1, 2000} {
		p := generated(rows, []float64{1, -2, 0, 3, 0.1, 5}, gauss, uint64(rows))
		weight := make([]float64, rows)
		for i := range p.Slope {
			p.Slope[i] = float32(i%4) / 2 // some count nothing
			weight[i] = float64(p.Slope[i]) * float64(p.Slope[i])
		}
		lambdas := []float64{0.1, 1, 100, 1e5}
		models, err := Fit(p, lambdas, 1)
		if err != nil {
			t.Fatal(err)
		}
		for l, m := range models {
			want := ridge(p, weight, lambdas[l])
			for j, v := range append(append([]float64(nil), m.Coef...), m.Intercept) {
				if math.Abs(v-want[j]) > 2e-4*max(1, math.Abs(want[j])) {
					t.Errorf("%d rows, λ %g: coefficient %d is %g, in closed form %g", rows, lambdas[l], j, v, want[j])
				}
			}
		}
	}
}

// TestEveryRoundIsRidgeWithTheWeightsOfTheLast repeats the documented iteration in
// float64.
func TestEveryRoundIsRidgeWithTheWeightsOfTheLast(t *testing.T) {
	p := generated(500, []float64{1, -2, 0.5}, heavy, 4)
	for i := range p.Slope {
		p.Slope[i] = 0.5 + float32(i%5)
	}
	weight := make([]float64, p.Rows)
	for i, s := range p.Slope {
		weight[i] = float64(s) * float64(s)
	}
	lambdas := []float64{1, 50, 700}
	const rounds = 5
	for round := range rounds {
		if round == rounds-1 {
			break
		}
		beta := ridge(p, weight, lambdas[1])
		m := Model{Coef: beta[:p.Cols], Intercept: beta[p.Cols]}
		delta := squareShare * p.medianError(m)
		for i, s := range p.Slope {
			e := float64(s) * math.Abs(float64(p.Y[i])-m.Predict(p.X[i*p.Cols:][:p.Cols]))
			weight[i] = float64(s) * float64(s) / max(e, delta)
		}
	}
	models, err := Fit(p, lambdas, rounds)
	if err != nil {
		t.Fatal(err)
	}
	for l, m := range models {
		want := ridge(p, weight, lambdas[l])
		for j, v := range append(append([]float64(nil), m.Coef...), m.Intercept) {
			if math.Abs(v-want[j]) > 1e-3*max(1, math.Abs(want[j])) {
				t.Errorf("λ %g: coefficient %d is %g, by the equations %g", lambdas[l], j, v, want[j])
			}
		}
	}
}

func TestStrongerRegularisationMeansSmallerCoefficients(t *testing.T) {
	p := generated(400, []float64{3, -1, 2}, gauss, 5)
	models, err := Fit(p, []float64{0.1, 10, 1e3, 1e5, 1e9}, 8)
	if err != nil {
		t.Fatal(err)
	}
	before := math.Inf(1)
	for i, m := range models {
		size := 0.0
		for _, c := range m.Coef {
			size += c * c
		}
		if size >= before {
			t.Errorf("coefficients of size %g after %g at λ %d", size, before, i)
		}
		before = size
	}
	if before > 1e-6 {
		t.Errorf("the strongest leaves coefficients of size %g", before)
	}
}

func TestOutliersMoveNothing(t *testing.T) {
	clean := generated(1000, []float64{2, -1}, func(r *rand.Rand) float64 { return 0.1 * r.NormFloat64() }, 6)
	dirty := clean
	dirty.Y = append([]float32(nil), clean.Y...)
	for i := 0; i < len(dirty.Y); i += 10 {
		dirty.Y[i] += 1000
	}
	models, err := Fit(dirty, []float64{1}, 30)
	if err != nil {
		t.Fatal(err)
	}
	for j, want := range []float64{2, -1} {
		// Errors below a tenth of the mean, here ten, count squared.
		if got := models[0].Coef[j]; math.Abs(got-want) > 0.2 {
			t.Errorf("coefficient %d is %g, want %g", j, got, want)
		}
	}
	if squares, err := Fit(dirty, []float64{1}, 1); err != nil || math.Abs(squares[0].Intercept-0.5) < 10*math.Abs(models[0].Intercept-0.5) {
		t.Errorf("intercept %g by squares, %g by absolute errors, 0.5 is true; error %v", squares[0].Intercept, models[0].Intercept, err)
	}
}

func TestWhatHasNoWeightHasNoSay(t *testing.T) {
	p := generated(300, []float64{1, 2}, gauss, 7)
	alone, err := Fit(p, []float64{1}, 8)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	more := Problem{Rows: 600, Cols: 2, X: append([]float32(nil), p.X...), Y: append([]float32(nil), p.Y...), Slope: append([]float32(nil), p.Slope...)}
	for range 300 {
		more.X = append(more.X, float32(rng.NormFloat64()), float32(rng.NormFloat64()))
		more.Y, more.Slope = append(more.Y, 1e6), append(more.Slope, 0)
	}
	both, err := Fit(more, []float64{2}, 8) // weights have mean 1 over twice the rows, hence twice λ
	if err != nil {
		t.Fatal(err)
	}
	for j := range 2 {
		if math.Abs(alone[0].Coef[j]-both[0].Coef[j]) > 0.02 {
			t.Errorf("coefficient %d is %g with rows of no weight, %g without", j, both[0].Coef[j], alone[0].Coef[j])
		}
	}
}

func TestSingularProblems(t *testing.T) {
	t.Run("columns that are the same share their coefficient", func(t *testing.T) {
		p := generated(200, []float64{3}, gauss, 9)
		twice := Problem{Rows: p.Rows, Cols: 2, Y: p.Y, Slope: p.Slope}
		for _, x := range p.X {
			twice.X = append(twice.X, x, x)
		}
		models, err := Fit(twice, []float64{0.01, 1, 100}, 8)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range models {
			if math.Abs(m.Coef[0]-m.Coef[1]) > 0.01 || math.Abs(m.Coef[0]+m.Coef[1]-3) > 2 {
				t.Errorf("coefficients %v", m.Coef)
			}
		}
	})
	t.Run("columns of zeros have none", func(t *testing.T) {
		models, err := Fit(Problem{Rows: 3, Cols: 2, X: make([]float32, 6), Y: []float32{1, 2, 3}, Slope: []float32{1, 1, 1}}, []float64{1}, 8)
		if err != nil || !reflect.DeepEqual(models[0].Coef, []float64{0, 0}) || math.Abs(models[0].Intercept-2) > 0.2 {
			t.Errorf("models %v, error %v", models, err)
		}
	})
	t.Run("more columns than rows", func(t *testing.T) {
		p := generated(5, make([]float64, 40), gauss, 10)
		models, err := Fit(p, []float64{1}, 8)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range models[0].Coef {
			if math.IsNaN(c) || math.Abs(c) > 10 {
				t.Errorf("coefficients %v", models[0].Coef)
			}
		}
	})
	t.Run("a perfect fit", func(t *testing.T) {
		p := generated(100, []float64{2}, func(*rand.Rand) float64 { return 0 }, 11)
		models, err := Fit(p, []float64{1e-6}, 20)
		if err != nil || math.Abs(models[0].Coef[0]-2) > 1e-4 {
			t.Errorf("models %v, error %v", models, err)
		}
	})
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, p := range map[string]Problem{
		"no rows":               {Cols: 2},
		"no weight at all":      {Rows: 2, Cols: 1, X: []float32{1, 2}, Y: []float32{1, 2}, Slope: []float32{0, 0}},
		"a target of NaN":       {Rows: 2, Cols: 1, X: []float32{1, 2}, Y: []float32{1, nan}, Slope: []float32{1, 1}},
		"an infinite feature":   {Rows: 2, Cols: 1, X: []float32{1, inf}, Y: []float32{1, 2}, Slope: []float32{1, 1}},
		"a weight that is none": {Rows: 2, Cols: 1, X: []float32{1, 2}, Y: []float32{1, 2}, Slope: []float32{1, nan}},
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			if models, err := Fit(p, []float64{1}, 3); !errors.Is(err, ErrSingular) {
				t.Errorf("models %v, error %v, want ErrSingular", models, err)
			}
		})
	}
}

func TestTheUnitOfTargetAndSlopeDoesNotMatter(t *testing.T) {
	p := generated(400, []float64{1, -3}, heavy, 12)
	want, err := Fit(p, []float64{10}, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []float32{1e-12, 1e-6, 1e6, 1e12} {
		for _, slope := range []float32{1e-25, 1e-12, 1, 1e12, 1e25} {
			t.Run(fmt.Sprintf("targets times %g, slopes times %g", unit, slope), func(t *testing.T) {
				q := Problem{Rows: p.Rows, Cols: p.Cols, X: p.X}
				for _, y := range p.Y {
					q.Y, q.Slope = append(q.Y, y*unit), append(q.Slope, slope)
				}
				got, err := Fit(q, []float64{10}, 8)
				if err != nil {
					t.Fatal(err)
				}
				for j, c := range got[0].Coef {
					if math.Abs(c/float64(unit)-want[0].Coef[j]) > 1e-3 {
						t.Errorf("coefficient %d is %g, want %g", j, c/float64(unit), want[0].Coef[j])
					}
				}
			})
		}
	}
}

func TestTheSameProblemHasTheSameSolution(t *testing.T) {
	p := generated(1000, []float64{1, -3, 0, 4}, heavy, 13)
	one, err := Fit(p, []float64{1, 10}, 8)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Fit(p, []float64{1, 10}, 8)
	if err != nil || !reflect.DeepEqual(one, two) {
		t.Errorf("%v and %v, error %v", one, two, err)
	}
}

// medianError returns the median of Slope |Y - m(X)|.
func (p Problem) medianError(m Model) float64 {
	var errs []float64
	for i, s := range p.Slope {
		errs = append(errs, float64(s)*math.Abs(float64(p.Y[i])-m.Predict(p.X[i*p.Cols:][:p.Cols])))
	}
	slices.Sort(errs)
	return errs[len(errs)/2]
}
