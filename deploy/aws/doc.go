// Package aws holds the policies of AWS for the programs of Forescale, and the test
// that they allow what is called and nothing else. There is no code in it.
package aws
