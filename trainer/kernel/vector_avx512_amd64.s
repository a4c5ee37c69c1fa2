#include "textflag.h"

// Vector kernels for AVX-512F, sixteen elements at a time; the last, incomplete
// group runs through the same instructions under the mask K1, so that nothing
// behind the slices is read or written. Each element is computed by itself.
//
// Registers: DI dst, SI src or a, DX b, CX elements left, Z0 what is the same for
// all elements.

// MASK makes K1 the CX (1 to 15) lanes that are left, and CX 0.
#define MASK \
	MOVL $1, AX;  \
	SHLL CX, AX;  \
	DECL AX;      \
	KMOVW AX, K1; \
	XORL CX, CX

// func reluAVX512(n int, dst, src *float32)
//
// dst = max(src, 0). VMAXPS returns its last source, here src, when it is NaN.
TEXT ·reluAVX512(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	VPXORQ Z0, Z0, Z0
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JLT  tail

elements:
	VMOVUPS.Z (SI), K1, Z1
	VMAXPS Z1, Z0, Z1
	VMOVUPS Z1, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  elements

done:
	VZEROUPPER
	RET

// func reluBackwardAVX512(n int, dst, src *float32)
//
// dst = 0 unless src > 0.
TEXT ·reluBackwardAVX512(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	VPXORQ Z0, Z0, Z0
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JLT  tail

elements:
	VMOVUPS.Z (SI), K1, Z1
	VCMPPS $0x1E, Z0, Z1, K1, K2 // K2: src > 0, false for NaN
	VMOVUPS.Z (DI), K2, Z1
	VMOVUPS Z1, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  elements

done:
	VZEROUPPER
	RET

// func addAVX512(n int, dst, src *float32)
//
// dst += src.
TEXT ·addAVX512(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JLT  tail

elements:
	VMOVUPS.Z (SI), K1, Z1
	VMOVUPS.Z (DI), K1, Z2
	VADDPS Z1, Z2, Z2
	VMOVUPS Z2, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  elements

done:
	VZEROUPPER
	RET

// func axpyAVX512(n int, alpha float32, dst, src *float32)
//
// dst += alpha src, fused.
TEXT ·axpyAVX512(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	VBROADCASTSS alpha+8(FP), Z0
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JLT  tail

elements:
	VMOVUPS.Z (SI), K1, Z1
	VMOVUPS.Z (DI), K1, Z2
	VFMADD231PS Z1, Z0, Z2
	VMOVUPS Z2, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  elements

done:
	VZEROUPPER
	RET

// func adamAVX512(n int, x, m, v, grad *float32, f *adamFactors)
//
// The equations of Adam, in their order. Registers: DI x, SI m, DX v, BX the gradient; Z0 x,
// Z1 m and then the step, Z2 v and then the divisor, Z3 g', Z16-Z24 the factors in
// the order of adamFactors.
TEXT ·adamAVX512(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), DI
	MOVQ m+16(FP), SI
	MOVQ v+24(FP), DX
	MOVQ grad+32(FP), BX
	MOVQ f+40(FP), R8
	VBROADCASTSS 0(R8), Z16
	VBROADCASTSS 4(R8), Z17
	VBROADCASTSS 8(R8), Z18
	VBROADCASTSS 12(R8), Z19
	VBROADCASTSS 16(R8), Z20
	VBROADCASTSS 20(R8), Z21
	VBROADCASTSS 24(R8), Z22
	VBROADCASTSS 28(R8), Z23
	VBROADCASTSS 32(R8), Z24
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JLT  tail

elements:
	VMOVUPS.Z (BX), K1, Z3
	VMULPS Z16, Z3, Z3
	VMOVUPS.Z (SI), K1, Z1
	VMULPS Z21, Z3, Z4
	VFMADD132PS Z20, Z4, Z1
	VMOVUPS Z1, K1, (SI)
	VMOVUPS.Z (DX), K1, Z2
	VMULPS Z23, Z3, Z4
	VMULPS Z3, Z4, Z4
	VFMADD132PS Z22, Z4, Z2
	VMOVUPS Z2, K1, (DX)
	VSQRTPS Z2, Z2
	VFMADD213PS Z24, Z18, Z2
	VMULPS Z17, Z1, Z1
	VDIVPS Z2, Z1, Z1
	VMOVUPS.Z (DI), K1, Z0
	VFMADD231PS Z0, Z19, Z1
	VSUBPS Z1, Z0, Z0
	VMOVUPS Z0, K1, (DI)
	ADDQ $64, BX
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $64, DI
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  elements

done:
	VZEROUPPER
	RET

// func sumSquaresAVX512(lane *[16]float64, n int, x *float32)
//
// Adds the squares of x to the lanes, element i to lane i mod 16; n is a multiple
// of 16. Registers: DI lane, CX elements left, SI x, Z0 and Z1 the lanes. A square
// of float32 is exact in float64, so that fusing it changes nothing.
TEXT ·sumSquaresAVX512(SB), NOSPLIT, $0-24
	MOVQ lane+0(FP), DI
	MOVQ n+8(FP), CX
	MOVQ x+16(FP), SI
	VMOVUPD (DI), Z0
	VMOVUPD 64(DI), Z1

loop:
	SUBQ $16, CX
	JLT  done
	VCVTPS2PD (SI), Z2
	VCVTPS2PD 32(SI), Z3
	VFMADD231PD Z2, Z2, Z0
	VFMADD231PD Z3, Z3, Z1
	ADDQ $64, SI
	JMP  loop

done:
	VMOVUPD Z0, (DI)
	VMOVUPD Z1, 64(DI)
	VZEROUPPER
	RET
