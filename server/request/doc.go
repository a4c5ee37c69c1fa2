// Package request reads the body of POST /predict: strict JSON, every fault with
// the path of the field that it is in. It is not a general JSON decoder.
//
// Strict means: valid UTF-8, known fields only, exact case, no field twice, no
// value of another type, numbers that are finite, nothing after the value. What
// Parse accepts, encoding/json reads as the same request; its fuzz test holds it
// to that.
package request
