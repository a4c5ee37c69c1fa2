package request

import (
	"math"
	"strconv"
)

// number reads a finite number.
func (s *scanner) number() float64 {
	if v, ok := s.shortNumber(); ok {
		return v
	}
	start, literal := s.numberLiteral()
	v, err := strconv.ParseFloat(string(literal), 64)
	if err != nil || math.IsInf(v, 0) {
		s.failAt(start, "%s is out of range", clip(string(literal)))
	}
	return v
}

// powers are the powers of ten that shortNumber divides by.
var powers = [maxShort + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// maxShort is how many digits a short number has at most.
const maxShort = 15

// shortNumber reads a number of few digits and no exponent, which nearly all are;
// false: it has read nothing. Digits and power of ten are both exact as float64, so
// that their quotient is the nearest value to the decimal (Clinger, How to read floating
// point numbers accurately, 1990).
func (s *scanner) shortNumber() (v float64, ok bool) {
	s.next()
	b := s.body[s.pos:]
	i := 0
	if len(b) > 0 && b[0] == '-' {
		i++
	}
	first, mantissa := i, uint64(0)
	for i < len(b) && b[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	digits, fraction := i-first, 0
	if digits == 0 || digits > maxShort || b[first] == '0' && digits > 1 {
		return 0, false
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		fraction = i - point
		if fraction == 0 || digits+fraction > maxShort {
			return 0, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		return 0, false
	}
	s.pos += i
	if v = float64(mantissa) / powers[fraction]; first > 0 {
		v = -v
	}
	return v, true
}

// integer reads a number without fraction or exponent that fits an int.
func (s *scanner) integer() int {
	start, literal := s.numberLiteral()
	v, err := strconv.Atoi(string(literal))
	if err != nil {
		s.failAt(start, "%s is not an integer in range", clip(string(literal)))
	}
	return v
}

// numberLiteral reads a number as RFC 8259 spells it, which is stricter than
// strconv: no leading zeros or plus sign, no hexadecimal, no Inf or NaN.
func (s *scanner) numberLiteral() (start int, literal []byte) {
	if c := s.next(); c != '-' && (c < '0' || c > '9') {
		s.fail("must be a number, not %s", s.describe())
	}
	start = s.pos
	if s.body[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.body) && s.body[s.pos] == '0' {
		s.pos++
	} else {
		s.digits(start)
	}
	if s.pos < len(s.body) && s.body[s.pos] == '.' {
		s.pos++
		s.digits(start)
	}
	if s.pos < len(s.body) && (s.body[s.pos] == 'e' || s.body[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.body) && (s.body[s.pos] == '+' || s.body[s.pos] == '-') {
			s.pos++
		}
		s.digits(start)
	}
	return start, s.body[start:s.pos]
}

func (s *scanner) digits(start int) {
	n := s.pos
	for s.pos < len(s.body) && '0' <= s.body[s.pos] && s.body[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == n {
		s.failAt(start, "malformed number")
	}
}
