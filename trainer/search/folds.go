package search

import "fmt"

// Fold is one way to part a history in time. Its bounds count origins, an origin
// being the newest slot that a window reads: origin i reads slots up to i, and its
// targets are the slots i+1 … i+horizon.
type Fold struct {
	TrainEnd  int // the origins [0, TrainEnd) fit
	ValidFrom int // the origins [ValidFrom, ValidTo) judge
	ValidTo   int
}

// Folds returns k folds of n origins that roll forward in time: each fits on all
// that lies before what it judges, and together they judge the last part of the
// history without a hole or an overlap,
//
//	fold j judges [n-(k-j)·v, n-(k-j-1)·v),  v = ⌊(n-minTrain-horizon+1)/k⌋,
//	and fits on what ends horizon-1 origins earlier.
//
// That gap keeps apart the targets: the last target that fits, slot
// TrainEnd-1+horizon, is the newest slot that the first judging origin reads, just
// before its first target. A judging window may look back on slots that were fitted,
// since that is the past, however long the lookback; no fitting window has seen a
// target that judges.
//
// n counts origins whose targets all lie inside the training part, which is what
// keeps the folds from the validation and the test part. The result is nil when
// minTrain origins to fit on leave not one per fold to judge. Folds panics when
// k, horizon or minTrain is below 1.
func Folds(n, k, horizon, minTrain int) []Fold {
	if k < 1 || horizon < 1 || minTrain < 1 {
		panic(fmt.Sprintf("search: %d folds with a horizon of %d and at least %d origins to fit on", k, horizon, minTrain))
	}
	gap := horizon - 1
	v := (n - minTrain - gap) / k
	if v < 1 {
		return nil
	}
	folds := make([]Fold, k)
	for j := range folds {
		from := n - (k-j)*v
		folds[j] = Fold{TrainEnd: from - gap, ValidFrom: from, ValidTo: from + v}
	}
	return folds
}
