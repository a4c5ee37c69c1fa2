package onnx

import (
	"fmt"
	"slices"

	"github.com/forescale/forescale/trainer/kernel"
)

// lstm computes the operator as the specification has it, without peepholes,
// clipping or sequence lengths, forward:
//
//	z_t = x_t Wᵀ + h_(t-1) Rᵀ + Wb + Rb,  gates i, o, f, c
//	c_t = f c_(t-1) + i tanh(z_c),  h_t = o tanh(c_t)
func lstm(m *memory, s *step, in []tensor) (tensor, error) {
	x, w, r, b := in[0], in[1], in[2], in[3]
	H := int(s.attrs[1].int)
	if s.attrs[0].text != "forward" {
		return tensor{}, fmt.Errorf("direction %.20q, only forward is run", s.attrs[0].text)
	}
	if s.attrs[1].int < 1 || s.attrs[1].int > maxElements || len(x.dims) != 3 || len(x.data) == 0 ||
		!slices.Equal(w.dims, []int{1, 4 * H, x.dims[2]}) || !slices.Equal(r.dims, []int{1, 4 * H, H}) ||
		!slices.Equal(b.dims, []int{1, 8 * H}) || w.ints != nil || r.ints != nil || b.ints != nil {
		return tensor{}, fmt.Errorf("dimensions %v, %v, %v, %v do not fit hidden_size %d", x.dims, w.dims, r.dims, b.dims, s.attrs[1].int)
	}
	T, B, C, G := x.dims[0], x.dims[1], x.dims[2], 4*H
	h, err := m.tensor(T, 1, B, H)
	if err != nil {
		return tensor{}, err
	}
	z, err := m.tensor(T*B, G)
	if err != nil {
		return tensor{}, err
	}
	defer m.release(z.data)
	bias := make([]float32, G)
	for i := range bias {
		bias[i] = b.data[i] + b.data[G+i]
	}
	var packed kernel.Packed[float32]
	packed.Pack(C, G, kernel.TransposeOf(w.data, C))
	kernel.GemmBias(T*B, kernel.Of(x.data, C), &packed, bias, z.data, G)
	packed.Pack(H, G, kernel.TransposeOf(r.data, H))
	var before []float32 // none yet: zeros
	c, other, tanhC := make([]float32, B*H), make([]float32, B*H), make([]float32, H)
	for t := range T {
		if t > 0 {
			kernel.GemmPacked(B, kernel.Of(h.data[(t-1)*B*H:], H), &packed, z.data[t*B*G:], G, true)
		}
		for row := range B {
			var old []float32
			if before != nil {
				old = before[row*H:][:H]
			}
			kernel.CellForward(z.data[(t*B+row)*G:][:G], old, c[row*H:][:H], tanhC, h.data[(t*B+row)*H:][:H])
		}
		before, c, other = c, other, c
	}
	return h, nil
}
