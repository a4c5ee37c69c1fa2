package search_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"

	"github.com/forescale/forescale/trainer/search"
)

// A command reads the configuration, opens the journal and runs; what it prints
// can be pasted into the configuration. Here a training of budget epochs is a
// formula. A true objective fits on rolling-origin folds and answers with the mean loss.
func Example() {
	c, err := search.FromYAML([]byte(`
space:
  rate: {log: [1e-5, 1]}
  head.width: [16, 32, 64]
trials: 9
max_budget: 9
seed: 2
`))
	if err != nil {
		log.Fatal(err)
	}
	type configuration struct {
		Epochs int     `yaml:"epochs"`
		Rate   float64 `yaml:"rate"`
		Head   struct {
			Width int `yaml:"width"`
		} `yaml:"head"`
	}
	c.DataHash = "of the data, the rest of the configuration and the program"
	objective := func(ctx context.Context, p search.Params, budget int) (float64, error) {
		trial := configuration{Epochs: budget}
		if err := p.Apply(&trial); err != nil {
			return 0, err
		}
		miss := math.Abs(math.Log10(trial.Rate) + 2)
		return miss + 1/float64(trial.Head.Width) + 1/float64(trial.Epochs), nil
	}

	dir, err := os.MkdirTemp("", "search")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	journal, err := search.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close()
	result, err := search.Run(context.Background(), c, objective, journal)
	if err != nil {
		log.Fatal(err)
	}
	if err := result.WriteText(os.Stdout); err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Fragment())
	// Output:
	// rung  budget  bracket  trial  state  loss      seconds  head.width  rate         error
	// 2     9       0        7      done   0.621472  0.000    64          0.0312418
	// 1     3       0        7      done   0.843694  0.000    64          0.0312418
	// 1     3       0        4      done   1.00522   0.000    64          0.0453168
	// 1     3       0        8      done   1.06167   0.000    32          0.00200871
	// 0     1       0        7      done   1.51036   0.000    64          0.0312418
	// 0     1       0        4      done   1.67188   0.000    64          0.0453168
	// 0     1       0        8      done   1.72833   0.000    32          0.00200871
	// 0     1       0        5      done   2.14743   0.000    32          0.000765288
	// 0     1       0        6      done   2.37516   0.000    32          0.220754
	// 0     1       0        3      done   3.02355   0.000    64          9.81916e-05
	// 0     1       0        1      done   3.02939   0.000    32          0.000100429
	// 0     1       0        2      done   3.2435    0.000    32          6.13407e-05
	// 0     1       0        0      done   3.84635   0.000    32          1.53073e-05
	// # trial 7 won with a loss of 0.621472 at a budget of 9; 13 evaluations of 9 trials
	// head:
	//   width: 64
	// rate: 0.0312418
}

// Three folds of 1,000 origins with a horizon of 12 slots, of which the first fits
// on at least 600.
