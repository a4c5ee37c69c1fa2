package tensor

import (
	"fmt"
	"reflect"
)

// CopyRows copies n rows of from, beginning with row first, to the rows of to that
// begin with row at. A row is what one index of the first axis holds. The error says
// that the two do not hold rows of the same type and length, or not as many.
func CopyRows(to Tensor, at int, from Tensor, first, n int) error {
	if len(to.Shape) == 0 || len(from.Shape) == 0 || to.Shape[0] <= 0 || from.Shape[0] <= 0 {
		return fmt.Errorf("the shapes %s and %s have no rows", ShapeString(from.Shape), ShapeString(to.Shape))
	}
	rowLen := from.Len() / int(from.Shape[0])
	switch {
	case rowLen != to.Len()/int(to.Shape[0]):
		return fmt.Errorf("the shape %s where %s is expected", ShapeString(from.Shape), ShapeString(to.Shape))
	case first < 0 || n < 0 || first+n > int(from.Shape[0]) || at < 0 || at+n > int(to.Shape[0]):
		return fmt.Errorf("rows %d to %d of %s do not fit in %s from row %d on", first, first+n, ShapeString(from.Shape), ShapeString(to.Shape), at)
	}
	if room := to.Float32s(); room != nil { // nearly always, and without an allocation
		data := from.Float32s()
		if data == nil {
			return fmt.Errorf("elements of type %T where %T is expected", from.Data, to.Data)
		}
		copy(room[at*rowLen:(at+n)*rowLen], data[first*rowLen:(first+n)*rowLen])
		return nil
	}
	room, data := reflect.ValueOf(to.Data), reflect.ValueOf(from.Data)
	if room.Type() != data.Type() {
		return fmt.Errorf("elements of type %T where %T is expected", from.Data, to.Data)
	}
	reflect.Copy(room.Slice(at*rowLen, (at+n)*rowLen), data.Slice(first*rowLen, (first+n)*rowLen))
	return nil
}

// LikeRows returns a new tensor of n rows such as those of t, which has one at least.
func LikeRows(t Tensor, n int) Tensor {
	shape := append([]int64{int64(n)}, t.Shape[1:]...)
	size := t.Len() / int(t.Shape[0]) * n
	if _, ok := t.Data.([]float32); ok {
		return Tensor{shape, make([]float32, size)}
	}
	return Tensor{shape, reflect.MakeSlice(reflect.TypeOf(t.Data), size, size).Interface()}
}

// FirstRows returns the first n rows of t, sharing its memory.
func FirstRows(t Tensor, n int) Tensor {
	shape := append([]int64{int64(n)}, t.Shape[1:]...)
	size := t.Len() / int(t.Shape[0]) * n
	if data := t.Float32s(); data != nil {
		return Tensor{shape, data[:size]}
	}
	return Tensor{shape, reflect.ValueOf(t.Data).Slice(0, size).Interface()}
}
