// Package search looks for the parameters that train the best model: many trials
// on a small budget, and ever fewer, the better ones, on ever larger budgets.
//
// It knows nothing of what it searches. The caller declares a [Space], hands over
// an [Objective] that maps parameters and a budget to a loss, and [Run] answers
// with the best trial and the table of all. What a budget is (epochs, steps,
// windows) is the objective's affair; it only has to grow with the effort.
//
// # Method
//
// Successive halving: of n trials the best n/eta go on to the next rung, with eta
// times the budget, up to the last rung with the whole budget. Halving early kills
// the trial that starts slowly, halving late wastes effort; several brackets that
// begin in different rungs hedge between the two. One bracket is successive
// halving (Jamieson and Talwalkar 2016), as many as there are rungs is Hyperband
// (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, JMLR 18:185). All
// brackets share the rungs' budgets and pass through a rung together.
//
// A rung is complete before the next begins. The asynchronous variant (ASHA, Li
// et al. 2020) keeps more workers busy, but promotes by who happens to be done:
// there the result depends on the machine.
//
// # Determinism
//
// The parameters of trial i follow from the space, the seed and i. The result
// follows from the configuration and the objective, whatever the number of
// workers and however often the search is killed and resumed from its [Journal].
// A time budget gives that up: when it runs out depends on the machine. Then the
// best trial of the last complete rung wins, and [Result.TimedOut] says so.
//
// # Honesty
//
// The more trials there are, the more the least loss flatters: it was chosen for
// being low. An objective must therefore never see the test part of a history, not
// even to stop early. It fits and judges inside the training part, on folds that
// roll forward in time, so that an event which one stretch lacks is judged in
// another. The winner is then trained as any model is, and its measure on the test
// part is taken once.
package search
