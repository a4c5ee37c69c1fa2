#include "textflag.h"

// Vector kernels for AVX2 with FMA3, eight elements at a time; the last,
// incomplete group by masked moves, so that nothing behind the slices is read or
// written. The arithmetic is, operation by operation, that of the AVX-512 kernels.
//
// Registers: DI dst, SI src or a, DX b, CX elements left, Y0 what is the same for
// all elements, Y15 mask.

// Eight ones and eight zeros: 8 - n elements into it begins a mask of n ones.
DATA lanes<>+0(SB)/8, $-1
DATA lanes<>+8(SB)/8, $-1
DATA lanes<>+16(SB)/8, $-1
DATA lanes<>+24(SB)/8, $-1
DATA lanes<>+32(SB)/8, $0
DATA lanes<>+40(SB)/8, $0
DATA lanes<>+48(SB)/8, $0
DATA lanes<>+56(SB)/8, $0
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// MASK makes Y15 the CX (1 to 7) lanes that are left.
#define MASK \
	NEGQ CX;                 \
	LEAQ lanes<>+32(SB), AX; \
	VMOVUPS (AX)(CX*4), Y15

#define LOAD(from, to) VMOVUPS from, to
#define STORE(from, to) VMOVUPS from, to
#define LOAD_PART(from, to) VMASKMOVPS from, Y15, to
#define STORE_PART(from, to) VMASKMOVPS from, Y15, to

#define RELU(LOAD, STORE) \
	LOAD((SI), Y1);    \
	VMAXPS Y1, Y0, Y1; \
	STORE(Y1, (DI))

// func reluAVX2(n int, dst, src *float32)
TEXT ·reluAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	VXORPS Y0, Y0, Y0

loop:
	SUBQ $8, CX
	JLT  tail
	RELU(LOAD, STORE)
	ADDQ $32, SI
	ADDQ $32, DI
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	RELU(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

#define RELU_BACKWARD(LOAD, STORE) \
	LOAD((SI), Y1);           \
	LOAD((DI), Y2);           \
	VCMPPS $0x1E, Y0, Y1, Y1; \
	VANDPS Y1, Y2, Y2;        \
	STORE(Y2, (DI))

// func reluBackwardAVX2(n int, dst, src *float32)
TEXT ·reluBackwardAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	VXORPS Y0, Y0, Y0

loop:
	SUBQ $8, CX
	JLT  tail
	RELU_BACKWARD(LOAD, STORE)
	ADDQ $32, SI
	ADDQ $32, DI
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	RELU_BACKWARD(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

#define ADD(LOAD, STORE) \
	LOAD((SI), Y1);    \
	LOAD((DI), Y2);    \
	VADDPS Y1, Y2, Y2; \
	STORE(Y2, (DI))

// func addAVX2(n int, dst, src *float32)
TEXT ·addAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI

loop:
	SUBQ $8, CX
	JLT  tail
	ADD(LOAD, STORE)
	ADDQ $32, SI
	ADDQ $32, DI
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	ADD(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

#define AXPY(LOAD, STORE) \
	LOAD((SI), Y1);         \
	LOAD((DI), Y2);         \
	VFMADD231PS Y1, Y0, Y2; \
	STORE(Y2, (DI))

// func axpyAVX2(n int, alpha float32, dst, src *float32)
TEXT ·axpyAVX2(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	VBROADCASTSS alpha+8(FP), Y0
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI

loop:
	SUBQ $8, CX
	JLT  tail
	AXPY(LOAD, STORE)
	ADDQ $32, SI
	ADDQ $32, DI
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	AXPY(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

#define ADAM(LOAD, STORE) \
	LOAD((BX), Y3);          \
	VMULPS Y6, Y3, Y3;       \
	LOAD((SI), Y1);          \
	VMULPS Y11, Y3, Y4;      \
	VFMADD132PS Y10, Y4, Y1; \
	STORE(Y1, (SI));         \
	LOAD((DX), Y2);          \
	VMULPS Y13, Y3, Y4;      \
	VMULPS Y3, Y4, Y4;       \
	VFMADD132PS Y12, Y4, Y2; \
	STORE(Y2, (DX));         \
	VSQRTPS Y2, Y2;          \
	VFMADD213PS Y14, Y8, Y2; \
	VMULPS Y7, Y1, Y1;       \
	VDIVPS Y2, Y1, Y1;       \
	LOAD((DI), Y0);          \
	VFMADD231PS Y0, Y9, Y1;  \
	VSUBPS Y1, Y0, Y0;       \
	STORE(Y0, (DI))

// func adamAVX2(n int, x, m, v, grad *float32, f *adamFactors)
//
// Registers: DI x, SI m, DX v, BX the gradient; Y0 x, Y1 m and then the step, Y2 v and then the
// divisor, Y3 g', Y6-Y14 the factors in the order of adamFactors.
TEXT ·adamAVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), DI
	MOVQ m+16(FP), SI
	MOVQ v+24(FP), DX
	MOVQ grad+32(FP), BX
	MOVQ f+40(FP), R8
	VBROADCASTSS 0(R8), Y6
	VBROADCASTSS 4(R8), Y7
	VBROADCASTSS 8(R8), Y8
	VBROADCASTSS 12(R8), Y9
	VBROADCASTSS 16(R8), Y10
	VBROADCASTSS 20(R8), Y11
	VBROADCASTSS 24(R8), Y12
	VBROADCASTSS 28(R8), Y13
	VBROADCASTSS 32(R8), Y14

loop:
	SUBQ $8, CX
	JLT  tail
	ADAM(LOAD, STORE)
	ADDQ $32, BX
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, DI
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	ADAM(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

// func sumSquaresAVX2(lane *[16]float64, n int, x *float32)
//
// Adds the squares of x to the lanes, element i to lane i mod 16; n is a multiple
// of 16. Registers: DI lane, CX elements left, SI x, Y0-Y3 the lanes.
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $0-24
	MOVQ lane+0(FP), DI
	MOVQ n+8(FP), CX
	MOVQ x+16(FP), SI
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD 64(DI), Y2
	VMOVUPD 96(DI), Y3

loop:
	SUBQ $16, CX
	JLT  done
	VCVTPS2PD (SI), Y4
	VCVTPS2PD 16(SI), Y5
	VCVTPS2PD 32(SI), Y6
	VCVTPS2PD 48(SI), Y7
	VFMADD231PD Y4, Y4, Y0
	VFMADD231PD Y5, Y5, Y1
	VFMADD231PD Y6, Y6, Y2
	VFMADD231PD Y7, Y7, Y3
	ADDQ $64, SI
	JMP  loop

done:
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, 64(DI)
	VMOVUPD Y3, 96(DI)
	VZEROUPPER
	RET
