package main

import (
	"fmt"
	"io"
)

// explain writes, for -check, what the sources ask for where that does not stand in
// the configuration word by word.
func (p *program) explain(w io.Writer) {
	for _, line := range p.section.Describe(p.common.Step) {
		fmt.Fprintln(w, line)
	}
	p.costs(w)
}
