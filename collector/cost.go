package collector

// Costed is implemented by a Source whose provider bills calls, or bounds them.
type Costed interface {
	// Cost returns what it takes to ask once for that many slots, without asking
	// anybody.
	Cost(slots int) Cost
}

// Cost is what asking a source once takes.
type Cost struct {
	Calls          int     // at least
	CallsPerSecond float64 // the pace that the source keeps to; 0: none
	Quota          float64 // the provider's own bound of it; 0: not known
	Unit           string  // what is billed, in the plural, for example "metrics requested"
	Billed         int     // units
	Price          float64 // of 1,000 units, in USD; 0: nothing is billed
	Basis          string  // what the price is known from, and when
	// Unknown lists what the figures leave out because it is only known when asked.
	Unknown []string
}
