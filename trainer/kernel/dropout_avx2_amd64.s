#include "textflag.h"

// Dropout and the dot product for AVX2 with FMA3.

DATA lanes8<>+0(SB)/8, $0x0000000100000000
DATA lanes8<>+8(SB)/8, $0x0000000300000002
DATA lanes8<>+16(SB)/8, $0x0000000500000004
DATA lanes8<>+24(SB)/8, $0x0000000700000006
GLOBL lanes8<>(SB), RODATA|NOPTR, $32

// HASH makes eight random numbers of a group from the counters in Y8 and moves
// the counters on by eight. Y0 becomes the mask of the elements kept by the lower
// halves, Y1 that by the upper ones.
#define HASH \
	VPXOR Y12, Y8, Y0;       \
	VPSRLD $16, Y0, Y1;      \
	VPXOR Y1, Y0, Y0;        \
	VPMULLD Y10, Y0, Y0;     \
	VPSRLD $13, Y0, Y1;      \
	VPXOR Y1, Y0, Y0;        \
	VPMULLD Y11, Y0, Y0;     \
	VPSRLD $16, Y0, Y1;      \
	VPXOR Y1, Y0, Y0;        \
	VPADDD Y9, Y8, Y8;       \
	VPAND Y15, Y0, Y0;       \
	VPCMPGTD Y13, Y0, Y0;    \
	VPCMPGTD Y13, Y1, Y1

// SET and ADD compute eight elements at an offset: m src, and dst + m src.
#define SET(offset, mask, t) \
	VMULPS offset(SI), Y14, t; \
	VANDPS mask, t, t;         \
	VMOVUPS t, offset(DI)

#define ADD(offset, mask, t, u) \
	VMOVUPS offset(SI), t;         \
	VMOVUPS offset(DI), u;         \
	VFMADD213PS u, Y14, t;         \
	VBLENDVPS mask, t, u, t;       \
	VMOVUPS t, offset(DI)

// func dropAVX2(groups int, dst, src *float32, counter, key, threshold uint32, factor float32, accumulate bool)
//
//	CX      groups left
//	DI, SI  dst and src at the group
//	Y8      counters                     Y9   what they move by, 8
//	Y10-11  multipliers                  Y12  key
//	Y13     threshold - 1                Y14  factor
//	Y15     the lower half of a number
TEXT ·dropAVX2(SB), NOSPLIT, $0-41
	MOVQ groups+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	MOVL counter+24(FP), AX
	MOVQ AX, X8
	VPBROADCASTD X8, Y8
	VPADDD lanes8<>(SB), Y8, Y8
	MOVL $8, AX
	MOVQ AX, X9
	VPBROADCASTD X9, Y9
	MOVL $0x85ebca6b, AX
	MOVQ AX, X10
	VPBROADCASTD X10, Y10
	MOVL $0xc2b2ae35, AX
	MOVQ AX, X11
	VPBROADCASTD X11, Y11
	MOVL key+28(FP), AX
	MOVQ AX, X12
	VPBROADCASTD X12, Y12
	MOVL threshold+32(FP), AX
	MOVQ AX, X13
	VPBROADCASTD X13, Y13
	VPCMPEQD Y0, Y0, Y0 // -1
	VPADDD Y0, Y13, Y13
	VBROADCASTSS factor+36(FP), Y14
	VPSRLD $16, Y0, Y15
	MOVBLZX accumulate+40(FP), BX
	TESTQ CX, CX
	JZ   done

	TESTB BX, BX
	JNZ  add

set:
	HASH
	SET(0, Y0, Y2)
	SET(64, Y1, Y3)
	HASH
	SET(32, Y0, Y2)
	SET(96, Y1, Y3)
	ADDQ $128, SI
	ADDQ $128, DI
	DECQ CX
	JNZ  set
	VZEROUPPER
	RET

add:
	HASH
	ADD(0, Y0, Y2, Y4)
	ADD(64, Y1, Y3, Y5)
	HASH
	ADD(32, Y0, Y2, Y4)
	ADD(96, Y1, Y3, Y5)
	ADDQ $128, SI
	ADDQ $128, DI
	DECQ CX
	JNZ  add

done:
	VZEROUPPER
	RET

// func dotAVX2(n int, x, y *float32) float32
//
//	CX      elements left
//	SI, DI  x and y
//	Y0-Y3   sums of 8 lanes each
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3

by32:
	SUBQ $32, CX
	JLT  rest
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	JMP  by32

rest:
	ADDQ $32, CX
	VADDPS Y1, Y0, Y0
	VADDPS Y3, Y2, Y2
	VADDPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0

by1:
	DECQ CX
	JLT  done
	VMOVSS (SI), X1
	VFMADD231SS (DI), X1, X0
	ADDQ $4, SI
	ADDQ $4, DI
	JMP  by1

done:
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET
