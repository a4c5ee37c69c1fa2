#include "textflag.h"

// Dropout and the dot product for AVX-512F.

DATA lanes<>+0(SB)/8, $0x0000000100000000
DATA lanes<>+8(SB)/8, $0x0000000300000002
DATA lanes<>+16(SB)/8, $0x0000000500000004
DATA lanes<>+24(SB)/8, $0x0000000700000006
DATA lanes<>+32(SB)/8, $0x0000000900000008
DATA lanes<>+40(SB)/8, $0x0000000b0000000a
DATA lanes<>+48(SB)/8, $0x0000000d0000000c
DATA lanes<>+56(SB)/8, $0x0000000f0000000e
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// HASH makes the random numbers of a group from the counters in Z16, in Z0, and
// moves the counters on. K1 and K2 become the elements kept of its two halves.
#define HASH \
	VPXORD Z20, Z16, Z0;       \
	VPSRLD $16, Z0, Z1;        \
	VPXORD Z1, Z0, Z0;         \
	VPMULLD Z18, Z0, Z0;       \
	VPSRLD $13, Z0, Z1;        \
	VPXORD Z1, Z0, Z0;         \
	VPMULLD Z19, Z0, Z0;       \
	VPSRLD $16, Z0, Z1;        \
	VPXORD Z1, Z0, Z0;         \
	VPADDD Z17, Z16, Z16;      \
	VPANDD Z23, Z0, Z0;        \
	VPCMPUD $5, Z21, Z0, K1;   \
	VPCMPUD $5, Z21, Z1, K2

// func dropAVX512(groups int, dst, src *float32, counter, key, threshold uint32, factor float32, accumulate bool)
//
//	CX      groups left
//	DI, SI  dst and src at the group
//	Z16     counters                     Z17  what they move by, 16
//	Z18-19  multipliers                  Z20  key
//	Z21     threshold                    Z22  factor
//	Z23     the lower half of a number
//
// The last round mixes the upper half of h, which it has in Z1, into the lower one.
TEXT ·dropAVX512(SB), NOSPLIT, $0-41
	MOVQ groups+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	MOVL counter+24(FP), AX
	VPBROADCASTD AX, Z16
	VPADDD lanes<>(SB), Z16, Z16
	MOVL $16, AX
	VPBROADCASTD AX, Z17
	MOVL $0x85ebca6b, AX
	VPBROADCASTD AX, Z18
	MOVL $0xc2b2ae35, AX
	VPBROADCASTD AX, Z19
	MOVL key+28(FP), AX
	VPBROADCASTD AX, Z20
	MOVL threshold+32(FP), AX
	VPBROADCASTD AX, Z21
	VBROADCASTSS factor+36(FP), Z22
	MOVL $0xffff, AX
	VPBROADCASTD AX, Z23
	MOVBLZX accumulate+40(FP), BX
	TESTQ CX, CX
	JZ   done
	TESTB BX, BX
	JNZ  add

set:
	HASH
	VMULPS.Z (SI), Z22, K1, Z2
	VMULPS.Z 64(SI), Z22, K2, Z3
	VMOVUPS Z2, (DI)
	VMOVUPS Z3, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	DECQ CX
	JNZ  set
	VZEROUPPER
	RET

add:
	HASH
	VMOVUPS (DI), Z2
	VMOVUPS 64(DI), Z3
	VFMADD231PS (SI), Z22, K1, Z2
	VFMADD231PS 64(SI), Z22, K2, Z3
	VMOVUPS Z2, (DI)
	VMOVUPS Z3, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	DECQ CX
	JNZ  add

done:
	VZEROUPPER
	RET

// func dotAVX512(n int, x, y *float32) float32
//
//	CX      elements left
//	SI, DI  x and y
//	Z0-Z3   sums of 16 lanes each
TEXT ·dotAVX512(SB), NOSPLIT, $0-28
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3

by64:
	SUBQ $64, CX
	JLT  rest
	VMOVUPS (SI), Z4
	VMOVUPS 64(SI), Z5
	VMOVUPS 128(SI), Z6
	VMOVUPS 192(SI), Z7
	VFMADD231PS (DI), Z4, Z0
	VFMADD231PS 64(DI), Z5, Z1
	VFMADD231PS 128(DI), Z6, Z2
	VFMADD231PS 192(DI), Z7, Z3
	ADDQ $256, SI
	ADDQ $256, DI
	JMP  by64

rest:
	ADDQ $64, CX

by16:
	SUBQ $16, CX
	JLT  tail
	VMOVUPS (SI), Z4
	VFMADD231PS (DI), Z4, Z0
	ADDQ $64, SI
	ADDQ $64, DI
	JMP  by16

tail:
	ADDQ $16, CX
	JZ   sum
	MOVQ $1, AX // a mask of the elements left: no other is read
	SHLQ CX, AX
	DECQ AX
	KMOVW AX, K1
	VMOVUPS.Z (SI), K1, Z4
	VMOVUPS.Z (DI), K1, Z5
	VFMADD231PS Z4, Z5, Z1

sum:
	VADDPS Z1, Z0, Z0
	VADDPS Z3, Z2, Z2
	VADDPS Z2, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET
