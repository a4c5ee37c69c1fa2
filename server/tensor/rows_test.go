package tensor

import (
	"reflect"
	"testing"
)

func TestRowsAreCopiedWhateverTheirType(t *testing.T) {
	for name, c := range map[string]struct{ from, want any }{
		"float32": {[]float32{1, 2, 3, 4, 5, 6}, []float32{0, 0, 3, 4, 5, 6, 0, 0}},
		"int64":   {[]int64{1, 2, 3, 4, 5, 6}, []int64{0, 0, 3, 4, 5, 6, 0, 0}},
		"bool":    {[]bool{true, true, true, false, false, true}, []bool{false, false, true, false, false, true, false, false}},
		"string":  {[]string{"a", "b", "c", "d", "e", "f"}, []string{"", "", "c", "d", "e", "f", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			from := Tensor{Shape: []int64{3, 2}, Data: c.from}
			to := LikeRows(from, 4)
			if err := CopyRows(to, 1, from, 1, 2); err != nil || !reflect.DeepEqual(to, Tensor{Shape: []int64{4, 2}, Data: c.want}) {
				t.Errorf("got %+v, %v", to, err)
			}
			first := FirstRows(to, 2)
			if err := CopyRows(first, 0, from, 0, 1); err != nil || !reflect.DeepEqual(first.Shape, []int64{2, 2}) {
				t.Errorf("got %+v, %v", first, err)
			}
			if reflect.ValueOf(to.Data).Index(0).Interface() != reflect.ValueOf(c.from).Index(0).Interface() {
				t.Error("the first rows have a memory of their own")
			}
		})
	}
}

func TestRowsThatDoNotFitAreNotCopied(t *testing.T) {
	room := New(make([]float32, 8), 4, 2)
	for name, err := range map[string]error{
		"rows of another length":     CopyRows(room, 0, New(make([]float32, 3), 1, 3), 0, 1),
		"elements of another type":   CopyRows(room, 0, Tensor{[]int64{1, 2}, []float64{1, 2}}, 0, 1),
		"another type into integers": CopyRows(Tensor{[]int64{1, 2}, []int8{1, 2}}, 0, New(make([]float32, 2), 1, 2), 0, 1),
		"more rows than there are":   CopyRows(room, 0, New(make([]float32, 2), 1, 2), 0, 2),
		"beyond the room":            CopyRows(room, 3, New(make([]float32, 4), 2, 2), 0, 2),
		"before the room":            CopyRows(room, -1, New(make([]float32, 4), 2, 2), 0, 1),
		"a scalar":                   CopyRows(room, 0, New(make([]float32, 1)), 0, 1),
		"no rows at all":             CopyRows(room, 0, New(nil, 0, 2), 0, 0),
	} {
		if err == nil {
			t.Errorf("%s: copied", name)
		}
	}
}
