package search

import (
	"reflect"
	"testing"
)

func TestFolds(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		n, k, horizon, minTrain int
		want                    []Fold
	}{
		{"one step ahead needs no gap", 100, 4, 1, 60, []Fold{{60, 60, 70}, {70, 70, 80}, {80, 80, 90}, {90, 90, 100}}},
		{"twelve steps ahead leave eleven origins out", 100, 2, 12, 49, []Fold{{49, 60, 80}, {69, 80, 100}}},
		{"what k does not divide is fitted on", 103, 4, 1, 60, []Fold{{63, 63, 73}, {73, 73, 83}, {83, 83, 93}, {93, 93, 103}}},
		{"one fold is a plain split", 10, 1, 2, 5, []Fold{{5, 6, 10}}},
		{"the least that there can be", 3, 1, 2, 1, []Fold{{1, 2, 3}}},
		{"too little to judge with", 2, 1, 2, 1, nil},
		{"too little for that many folds", 63, 4, 1, 60, nil},
		{"nothing", 0, 3, 1, 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Folds(tt.n, tt.k, tt.horizon, tt.minTrain); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// By brute force over every small case: the slots that fitting windows have read
// or been told, against those that judging windows are asked for.
func TestNoFoldFitsOnWhatItJudges(t *testing.T) {
	cases := 0
	for n := range 40 {
		for k := 1; k <= 4; k++ {
			for horizon := 1; horizon <= 6; horizon++ {
				for _, minTrain := range []int{1, 5, 12} {
					for _, lookback := range []int{1, 3, 20} {
						folds := Folds(n, k, horizon, minTrain)
						if folds == nil {
							if n >= minTrain+horizon-1+k {
								t.Fatalf("n %d, k %d, horizon %d, at least %d: there is room", n, k, horizon, minTrain)
							}
							continue
						}
						cases++
						checkFolds(t, folds, n, k, horizon, lookback, minTrain)
					}
				}
			}
		}
	}
	if cases < 1000 {
		t.Errorf("only %d cases", cases)
	}
}

func checkFolds(t *testing.T, folds []Fold, n, k, horizon, lookback, minTrain int) {
	t.Helper()
	bad := func(what string) {
		t.Helper()
		t.Fatalf("%s: n %d, k %d, horizon %d, lookback %d, at least %d: %v", what, n, k, horizon, lookback, minTrain, folds)
	}
	if len(folds) != k || folds[k-1].ValidTo != n {
		bad("the folds reach the end")
	}
	for j, f := range folds {
		if f.TrainEnd < minTrain || f.ValidTo <= f.ValidFrom {
			bad("there is enough to fit on and to judge")
		}
		if j > 0 && (f.ValidFrom != folds[j-1].ValidTo || f.TrainEnd <= folds[j-1].TrainEnd || f.ValidTo-f.ValidFrom != folds[0].ValidTo-folds[0].ValidFrom) {
			bad("the folds roll forward evenly")
		}
		seen := map[int]bool{}
		for origin := range f.TrainEnd {
			for slot := origin - lookback + 1; slot <= origin+horizon; slot++ {
				seen[slot] = true
			}
		}
		for origin := f.ValidFrom; origin < f.ValidTo; origin++ {
			for slot := origin + 1; slot <= origin+horizon; slot++ {
				if seen[slot] {
					bad("a judged slot was fitted")
				}
			}
		}
		// And nothing is given away: one origin more would have seen the first target.
		if f.TrainEnd+horizon != f.ValidFrom+1 {
			bad("the gap is wider than it needs to be")
		}
	}
}

func TestFoldsThatMakeNoSensePanic(t *testing.T) {
	for _, args := range [][3]int{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was accepted", args)
				}
			}()
			Folds(10, args[0], args[1], args[2])
		}()
	}
}
