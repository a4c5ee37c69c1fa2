package tree

// weighted is a number that counts as much as its weight, which is above 0.
type weighted struct{ value, weight float32 }

// median returns the weighted median m of v: the weight below m and the weight
// above it are both at most half. Where a whole interval is, it returns its
// middle. It reorders v, which must not be empty.
//
// It is the quickselect of Hoare, with three parts, by weight and not by rank: the
// expected time is that of a few passes over v.
func median(v []weighted) float32 {
	total := 0.0
	for _, x := range v {
		total += float64(x.weight)
	}
	half, before := total/2, 0.0 // before: weight of what was cut off below v
	for {
		pivot := middle(v[0].value, v[len(v)/2].value, v[len(v)-1].value)
		// v[:low] < pivot, v[low:i] == pivot, v[high:] > pivot
		low, high := 0, len(v)
		var wLow, wEqual float64
		for i := 0; i < high; {
			switch x := v[i]; {
			case x.value < pivot:
				wLow += float64(x.weight)
				v[low], v[i] = x, v[low]
				low, i = low+1, i+1
			case x.value > pivot:
				high--
				v[i], v[high] = v[high], x
			default:
				wEqual += float64(x.weight)
				i++
			}
		}
		switch {
		case before+wLow > half && low > 0:
			v = v[:low]
		case before+wLow+wEqual < half && high < len(v):
			before, v = before+wLow+wEqual, v[high:]
		case before+wLow == half && low > 0: // the interval ends here
			return float32((float64(top(v[:low])) + float64(pivot)) / 2)
		case before+wLow+wEqual == half && high < len(v): // it begins here
			return float32((float64(bottom(v[high:])) + float64(pivot)) / 2)
		default:
			return pivot
		}
	}
}

func middle(a, b, c float32) float32 { return max(min(a, b), min(max(a, b), c)) }

func top(v []weighted) float32 {
	m := v[0].value
	for _, x := range v[1:] {
		m = max(m, x.value)
	}
	return m
}

func bottom(v []weighted) float32 {
	m := v[0].value
	for _, x := range v[1:] {
		m = min(m, x.value)
	}
	return m
}

// mean returns the weighted mean of v.
func mean(v []weighted) float32 {
	var sum, total float64
	for _, x := range v {
		sum += float64(x.weight) * float64(x.value)
		total += float64(x.weight)
	}
	return float32(sum / total)
}
