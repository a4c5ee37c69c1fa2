package api

import "time"

// Event is an entry of the business calendar: while it lasts, its flags hold.
type Event struct {
	Name  string             `json:"name" yaml:"name"`
	Start time.Time          `json:"start" yaml:"start"` // inclusive
	End   time.Time          `json:"end" yaml:"end"`     // exclusive
	Flags map[string]float64 `json:"flags" yaml:"flags"` // flag name, for example is_sale_active, to its value (usually 1)
}
