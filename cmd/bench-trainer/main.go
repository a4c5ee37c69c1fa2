// Bench-trainer measures the speed of training beside PyTorch's, in turn on the
// same machine, and prints a table of ratios with the targets.
//
//	bench-trainer -peers DIR [-rounds N] [-seconds S] [-only TEXT]
//	bench-trainer -measure A|B [-threads N] [-seconds S] [-shard ROWS]
//
// # What is measured
//
// Samples per second of a training step with a batch of 64: load, forward, loss,
// backward, clipping and Adam, with dropout 0.2, on random data. Shape A has 4
// inputs, 24 steps and three LSTM layers of 128; shape B 16 inputs, 36 steps, two
// layers of 64 and attention. Each is run on one core (both programs pinned to
// the same one) and on two, with AVX-512 and held to AVX2. PyTorch gets the
// settings with which it is fastest.
//
// In each round PyTorch and ours run one after the other, for -seconds each. The
// figure of a run is its median step; the table has the medians over the rounds,
// and as ratio the median of the rounds' ratios, which other load on the machine
// disturbs least, with the least and the greatest of them.
//
// # What it needs
//
// DIR/train/speed.py and DIR/train/model.py, the peer; Debian's python3-torch and
// libopenblas0-pthread: with the reference BLAS, which Debian installs by default,
// PyTorch is ten times slower, and bench-trainer refuses to compare with that.
// FORESCALE_PYTHON names another Python. taskset, of util-linux.
//
// With -measure it only runs our side once, in this process and with the kernels
// that FORESCALE_KERNEL asks for, and prints one line.
package main

import "github.com/forescale/forescale/internal/cli"

func main() { cli.Main(new(bench).command()) }
