// Package tree fits gradient-boosted regression trees to the weighted absolute
// error, and hands them out as an [onnx.Trees] for the model's graph.
//
// The ensemble is F(x) = base + Σ_m rate · leaf_m(x). Round m fits a tree to the
// gradients of the loss at F_(m-1), and gives each leaf the value that minimises
// the loss of its rows, which for the absolute error is the weighted median of
// their residuals. Source: Friedman 2001, "Greedy function approximation: a
// gradient boosting machine", section 4.3, LAD_TreeBoost; drawing rows anew for
// each tree, Friedman 2002, "Stochastic gradient boosting".
//
// Splits are looked for among at most 255 thresholds a column, by histograms of
// the gradients, with the histogram of the larger child as the difference of its
// parent's and its sibling's, and the leaf that gains most is split first. Source:
// Ke et al. 2017, "LightGBM: a highly efficient gradient boosting decision tree".
//
// Invariants: equal inputs and an equal seed give equal trees, whatever the
// number of workers: gradients are summed as integers, whose order does not
// matter. A row's way through a tree is the same by its bins, by its float32
// values here, and in ONNX Runtime.
package tree
