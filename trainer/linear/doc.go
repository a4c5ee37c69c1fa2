// Package linear fits linear models towards the absolute error: ridge regression,
// reweighted until its squares stand for absolute values.
//
// It sees matrices only and knows nothing of forecasts. Results depend on the
// problem alone.
package linear
