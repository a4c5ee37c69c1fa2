#include "textflag.h"

// LSTM cells for AVX-512F, sixteen units at a time. The last, incomplete group
// runs through the same instructions under a mask: what lies behind the slices
// is neither read nor written.
//
// The exponential is 2^n e^r with x = n ln 2 + r, n whole and |r| <= ln 2 / 2:
//
//	e^r - 1 = r + r² (c2 + c3 r + c4 r² + c5 r³ + c6 r⁴)
//
// whose coefficients make the relative error of e^r - 1 smallest in the worst
// case (1.8e-8, rounding aside). Adding 1.5 2^23 rounds to a whole number and
// leaves it in the low bits, from where a shift by 23 makes it an exponent.
// Source: Cody and Waite 1980 for the two-part ln 2; the coefficients are our own.

DATA exp<>+0(SB)/4, $0x3FB8AA3B  // 1 / ln 2
DATA exp<>+4(SB)/4, $0x4B400000  // 1.5 2^23
DATA exp<>+8(SB)/4, $0x3F317218  // ln 2, rounded
DATA exp<>+12(SB)/4, $0xB102E308 // and what is left of it
DATA exp<>+16(SB)/4, $0x3AB5F5F9 // c6
DATA exp<>+20(SB)/4, $0x3C0913FB // c5
DATA exp<>+24(SB)/4, $0x3D2AAB3A // c4
DATA exp<>+28(SB)/4, $0x3E2AAA58 // c3
DATA exp<>+32(SB)/4, $0x3EFFFFFF // c2
DATA exp<>+36(SB)/4, $0x3F800000 // 1
DATA exp<>+40(SB)/4, $0x40000000 // 2
DATA exp<>+44(SB)/4, $0x42AE0000 // 87
DATA exp<>+48(SB)/4, $0xC2AE0000 // -87
DATA exp<>+52(SB)/4, $0x80000000 // the sign bit
GLOBL exp<>(SB), RODATA|NOPTR, $56

#define LOG2E Z16
#define ROUND Z17
#define LN2 Z18
#define LN2REST Z19
#define C6 Z20
#define C5 Z21
#define C4 Z22
#define C3 Z23
#define C2 Z24
#define ONE Z25
#define TWO Z26
#define BOUND Z27
#define NEGBOUND Z28
#define SIGN Z29

#define CONSTANTS \
	VBROADCASTSS exp<>+0(SB), LOG2E;     \
	VBROADCASTSS exp<>+4(SB), ROUND;     \
	VBROADCASTSS exp<>+8(SB), LN2;       \
	VBROADCASTSS exp<>+12(SB), LN2REST;  \
	VBROADCASTSS exp<>+16(SB), C6;       \
	VBROADCASTSS exp<>+20(SB), C5;       \
	VBROADCASTSS exp<>+24(SB), C4;       \
	VBROADCASTSS exp<>+28(SB), C3;       \
	VBROADCASTSS exp<>+32(SB), C2;       \
	VBROADCASTSS exp<>+36(SB), ONE;      \
	VBROADCASTSS exp<>+40(SB), TWO;      \
	VBROADCASTSS exp<>+44(SB), BOUND;    \
	VBROADCASTSS exp<>+48(SB), NEGBOUND; \
	VBROADCASTSS exp<>+52(SB), SIGN

// EXP takes x in [-87, 87] or NaN and returns power = 2^n and rest = e^r - 1, so
// that e^x = power + power rest. It leaves r in x and uses t.
#define EXP(x, power, rest, t) \
	VMOVAPS ROUND, t;             \
	VFMADD231PS LOG2E, x, t;      \
	VPSLLD $23, t, power;         \
	VPADDD ONE, power, power;     \
	VSUBPS ROUND, t, t;           \
	VFNMADD231PS LN2, t, x;       \
	VFNMADD231PS LN2REST, t, x;   \
	VMOVAPS C6, rest;             \
	VFMADD213PS C5, x, rest;      \
	VFMADD213PS C4, x, rest;      \
	VFMADD213PS C3, x, rest;      \
	VFMADD213PS C2, x, rest;      \
	VMULPS x, x, t;               \
	VFMADD213PS x, t, rest

// SIGMOID: x = 1 / (1 + e^-x) with x limited to [-87, 87], where e^-x and the
// result are normal numbers. VMINPS and VMAXPS return their last source, here x,
// when it is NaN.
#define SIGMOID(x, power, rest, t) \
	VMINPS x, BOUND, x;            \
	VMAXPS x, NEGBOUND, x;         \
	VPXORD SIGN, x, x;             \
	EXP(x, power, rest, t);        \
	VFMADD213PS power, power, rest; \
	VADDPS ONE, rest, rest;        \
	VDIVPS rest, ONE, x

// TANH: with E = e^(-2|x|) - 1, |tanh x| = -E / (2 + E), and the sign is that of
// x. E keeps its digits where x is small, because it is never formed as a
// difference there.
#define TANH(x, power, rest, t, sign) \
	VPANDD SIGN, x, sign;      \
	VADDPS x, x, x;            \
	VPORD SIGN, x, x;          \
	VMAXPS x, NEGBOUND, x;     \
	EXP(x, power, rest, t);    \
	VSUBPS ONE, power, t;      \
	VFMADD213PS t, power, rest; \
	VADDPS TWO, rest, t;       \
	VDIVPS t, rest, x;         \
	VPANDND x, SIGN, x;        \
	VPORD sign, x, x

// MASK makes K1 the CX (1 to 15) lanes that are left, and CX 0.
#define MASK \
	MOVL $1, AX;  \
	SHLL CX, AX;  \
	DECL AX;      \
	KMOVW AX, K1; \
	XORL CX, CX

// func cellForwardAVX512(n int, z, before, c, tanhC, h *float32)
//
// The gates lie n elements apart in z, in the order i, o, f, g; before may be nil.
// Two loops, gates and c first, then tanhC and h: in one, the long chain from z to
// h leaves the units of arithmetic waiting.
// Registers: DI z, SI and R8 one and three gates in bytes, R9 before, R10 c,
// R11 tanhC, R12 h, CX units left; Z0-Z3 the gates, Z4 c.
TEXT ·cellForwardAVX512(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ before+16(FP), R9
	MOVQ c+24(FP), R10
	MOVQ tanhC+32(FP), R11
	MOVQ h+40(FP), R12
	LEAQ (CX*4), SI
	LEAQ (SI)(SI*2), R8
	KXNORW K1, K1, K1
	VPXORQ Z4, Z4, Z4
	CONSTANTS

loop:
	SUBQ $16, CX
	JLT  tail

units:
	VMOVUPS.Z (DI), K1, Z0
	VMOVUPS.Z (DI)(SI*1), K1, Z1
	VMOVUPS.Z (DI)(SI*2), K1, Z2
	VMOVUPS.Z (DI)(R8*1), K1, Z3
	SIGMOID(Z0, Z5, Z6, Z7)
	SIGMOID(Z1, Z8, Z9, Z10)
	SIGMOID(Z2, Z11, Z12, Z13)
	TANH(Z3, Z5, Z6, Z7, Z8)
	VMOVUPS Z0, K1, (DI)
	VMOVUPS Z1, K1, (DI)(SI*1)
	VMOVUPS Z2, K1, (DI)(SI*2)
	VMOVUPS Z3, K1, (DI)(R8*1)
	TESTQ R9, R9
	JEQ   first
	VMOVUPS.Z (R9), K1, Z4
	ADDQ $64, R9

first:
	VMULPS Z3, Z0, Z0
	VFMADD231PS Z4, Z2, Z0
	VMOVUPS Z0, K1, (R10)
	ADDQ $64, DI
	ADDQ $64, R10
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  states
	MASK
	JMP  units

states:
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ c+24(FP), R10
	ADDQ SI, DI // the gates o
	KXNORW K1, K1, K1

statesLoop:
	SUBQ $16, CX
	JLT  statesTail

statesUnits:
	VMOVUPS.Z (R10), K1, Z0
	TANH(Z0, Z5, Z6, Z7, Z8)
	VMOVUPS Z0, K1, (R11)
	VMOVUPS.Z (DI), K1, Z1
	VMULPS Z0, Z1, Z1
	VMOVUPS Z1, K1, (R12)
	ADDQ $64, DI
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $64, R12
	JMP  statesLoop

statesTail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  statesUnits

done:
	VZEROUPPER
	RET

// func cellBackwardAVX512(n int, z, before, tanhC, dh, dc *float32)
//
// Registers: DI z, SI and R8 one and three gates in bytes, R9 before, R10 tanhC,
// R11 dh, R12 dc, CX units left; Z0-Z3 the gates i, o, f, g, Z4 before, Z5 tanhC,
// Z6 dh, Z7 dc, then dc'.
TEXT ·cellBackwardAVX512(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ before+16(FP), R9
	MOVQ tanhC+24(FP), R10
	MOVQ dh+32(FP), R11
	MOVQ dc+40(FP), R12
	LEAQ (CX*4), SI
	LEAQ (SI)(SI*2), R8
	KXNORW K1, K1, K1
	VPXORQ Z4, Z4, Z4
	VBROADCASTSS exp<>+36(SB), ONE

loop:
	SUBQ $16, CX
	JLT  tail

units:
	VMOVUPS.Z (DI), K1, Z0
	VMOVUPS.Z (DI)(SI*1), K1, Z1
	VMOVUPS.Z (DI)(SI*2), K1, Z2
	VMOVUPS.Z (DI)(R8*1), K1, Z3
	TESTQ R9, R9
	JEQ   first
	VMOVUPS.Z (R9), K1, Z4
	ADDQ $64, R9

first:
	VMOVUPS.Z (R10), K1, Z5
	VMOVUPS.Z (R11), K1, Z6
	VMOVUPS.Z (R12), K1, Z7
	VMULPS Z1, Z6, Z8
	VMOVAPS ONE, Z9
	VFNMADD231PS Z5, Z5, Z9
	VFMADD231PS Z9, Z8, Z7
	VMULPS Z2, Z7, Z9
	VMOVUPS Z9, K1, (R12)
	VMULPS Z5, Z8, Z8
	VSUBPS Z1, ONE, Z9
	VMULPS Z9, Z8, Z8
	VMOVUPS Z8, K1, (DI)(SI*1)
	VSUBPS Z0, ONE, Z9
	VMULPS Z0, Z9, Z9
	VMULPS Z3, Z9, Z9
	VMULPS Z7, Z9, Z9
	VMOVUPS Z9, K1, (DI)
	VMOVAPS ONE, Z10
	VFNMADD231PS Z3, Z3, Z10
	VMULPS Z0, Z10, Z10
	VMULPS Z7, Z10, Z10
	VMOVUPS Z10, K1, (DI)(R8*1)
	VSUBPS Z2, ONE, Z11
	VMULPS Z2, Z11, Z11
	VMULPS Z4, Z11, Z11
	VMULPS Z7, Z11, Z11
	VMOVUPS Z11, K1, (DI)(SI*2)
	ADDQ $64, DI
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $64, R12
	JMP  loop

tail:
	ADDQ $16, CX
	JEQ  done
	MASK
	JMP  units

done:
	VZEROUPPER
	RET
