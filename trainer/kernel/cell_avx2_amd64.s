#include "textflag.h"

// LSTM cells for AVX2 with FMA3, eight units at a time; the last, incomplete
// group by masked moves. The arithmetic is, operation by operation, that of the
// AVX-512 cells, where it is explained. There are too few registers for the
// constants: they are read from memory, eight times each.

#define EIGHT(at, bits) \
	DATA exp<>+(at+0)(SB)/8, $bits;  \
	DATA exp<>+(at+8)(SB)/8, $bits;  \
	DATA exp<>+(at+16)(SB)/8, $bits; \
	DATA exp<>+(at+24)(SB)/8, $bits

EIGHT(0, 0x3FB8AA3B3FB8AA3B) // 1 / ln 2
EIGHT(32, 0x4B4000004B400000) // 1.5 2^23
EIGHT(64, 0x3F3172183F317218) // ln 2, rounded
EIGHT(96, 0xB102E308B102E308) // and what is left of it
EIGHT(128, 0x3AB5F5F93AB5F5F9) // c6
EIGHT(160, 0x3C0913FB3C0913FB) // c5
EIGHT(192, 0x3D2AAB3A3D2AAB3A) // c4
EIGHT(224, 0x3E2AAA583E2AAA58) // c3
EIGHT(256, 0x3EFFFFFF3EFFFFFF) // c2
EIGHT(288, 0x3F8000003F800000) // 1
EIGHT(320, 0x4000000040000000) // 2
EIGHT(352, 0x42AE000042AE0000) // 87
EIGHT(384, 0xC2AE0000C2AE0000) // -87
EIGHT(416, 0x8000000080000000) // the sign bit
GLOBL exp<>(SB), RODATA|NOPTR, $448

#define LOG2E exp<>+0(SB)
#define ROUND exp<>+32(SB)
#define LN2 exp<>+64(SB)
#define LN2REST exp<>+96(SB)
#define C6 exp<>+128(SB)
#define C5 exp<>+160(SB)
#define C4 exp<>+192(SB)
#define C3 exp<>+224(SB)
#define C2 exp<>+256(SB)
#define ONE exp<>+288(SB)
#define TWO exp<>+320(SB)
#define BOUND exp<>+352(SB)
#define NEGBOUND exp<>+384(SB)
#define SIGN exp<>+416(SB)

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
	NEGQ CX;                \
	LEAQ lanes<>+32(SB), AX; \
	VMOVUPS (AX)(CX*4), Y15

#define LOAD(from, to) VMOVUPS from, to
#define STORE(from, to) VMOVUPS from, to
#define LOAD_PART(from, to) VMASKMOVPS from, Y15, to
#define STORE_PART(from, to) VMASKMOVPS from, Y15, to

#define EXP(x, power, rest, t) \
	VMOVUPS ROUND, t;           \
	VFMADD231PS LOG2E, x, t;    \
	VPSLLD $23, t, power;       \
	VPADDD ONE, power, power;   \
	VSUBPS ROUND, t, t;         \
	VFNMADD231PS LN2, t, x;     \
	VFNMADD231PS LN2REST, t, x; \
	VMOVUPS C6, rest;           \
	VFMADD213PS C5, x, rest;    \
	VFMADD213PS C4, x, rest;    \
	VFMADD213PS C3, x, rest;    \
	VFMADD213PS C2, x, rest;    \
	VMULPS x, x, t;             \
	VFMADD213PS x, t, rest

#define SIGMOID(x, power, rest, t) \
	VMOVUPS BOUND, t;               \
	VMINPS x, t, x;                 \
	VMOVUPS NEGBOUND, t;            \
	VMAXPS x, t, x;                 \
	VXORPS SIGN, x, x;              \
	EXP(x, power, rest, t);         \
	VFMADD213PS power, power, rest; \
	VMOVUPS ONE, t;                 \
	VADDPS t, rest, rest;           \
	VDIVPS rest, t, x

#define TANH(x, power, rest, t, sign) \
	VANDPS SIGN, x, sign;       \
	VADDPS x, x, x;             \
	VORPS SIGN, x, x;           \
	VMOVUPS NEGBOUND, t;        \
	VMAXPS x, t, x;             \
	EXP(x, power, rest, t);     \
	VSUBPS ONE, power, t;       \
	VFMADD213PS t, power, rest; \
	VADDPS TWO, rest, t;        \
	VDIVPS t, rest, x;          \
	VMOVUPS SIGN, t;            \
	VANDNPS x, t, x;            \
	VORPS sign, x, x

// ACTIVATE turns the pre-activations of eight units in Y0-Y3, with c before in Y4,
// into gates and c.
#define ACTIVATE(STORE) \
	SIGMOID(Y0, Y5, Y6, Y7);    \
	SIGMOID(Y1, Y8, Y9, Y10);   \
	SIGMOID(Y2, Y11, Y12, Y13); \
	TANH(Y3, Y5, Y6, Y7, Y8);   \
	STORE(Y0, (DI));            \
	STORE(Y1, (DI)(SI*1));      \
	STORE(Y2, (DI)(SI*2));      \
	STORE(Y3, (DI)(R8*1));      \
	VMULPS Y3, Y0, Y0;          \
	VFMADD231PS Y4, Y2, Y0;     \
	STORE(Y0, (R10))

// STATES makes tanhC and h of c and the gate o.
#define STATES(LOAD, STORE) \
	LOAD((R10), Y0);          \
	TANH(Y0, Y5, Y6, Y7, Y8); \
	STORE(Y0, (R11));         \
	LOAD((DI), Y1);           \
	VMULPS Y0, Y1, Y1;        \
	STORE(Y1, (R12))

#define GATES(LOAD) \
	LOAD((DI), Y0);        \
	LOAD((DI)(SI*1), Y1);  \
	LOAD((DI)(SI*2), Y2);  \
	LOAD((DI)(R8*1), Y3)

// func cellForwardAVX2(n int, z, before, c, tanhC, h *float32)
//
// The gates lie n elements apart in z, in the order i, o, f, g; before may be nil.
// Two loops, as with AVX-512.
// Registers: DI z, SI and R8 one and three gates in bytes, R9 before, R10 c,
// R11 tanhC, R12 h, CX units left; Y0-Y3 the gates, Y4 c, Y15 mask.
TEXT ·cellForwardAVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ before+16(FP), R9
	MOVQ c+24(FP), R10
	MOVQ tanhC+32(FP), R11
	MOVQ h+40(FP), R12
	LEAQ (CX*4), SI
	LEAQ (SI)(SI*2), R8
	VXORPS Y4, Y4, Y4

loop:
	SUBQ $8, CX
	JLT  tail
	GATES(LOAD)
	TESTQ R9, R9
	JEQ   first
	LOAD((R9), Y4)
	ADDQ $32, R9

first:
	ACTIVATE(STORE)
	ADDQ $32, DI
	ADDQ $32, R10
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  states
	MASK
	GATES(LOAD_PART)
	TESTQ R9, R9
	JEQ   firstPart
	LOAD_PART((R9), Y4)

firstPart:
	ACTIVATE(STORE_PART)

states:
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ c+24(FP), R10
	ADDQ SI, DI // the gates o

statesLoop:
	SUBQ $8, CX
	JLT  statesTail
	STATES(LOAD, STORE)
	ADDQ $32, DI
	ADDQ $32, R10
	ADDQ $32, R11
	ADDQ $32, R12
	JMP  statesLoop

statesTail:
	ADDQ $8, CX
	JEQ  done
	MASK
	STATES(LOAD_PART, STORE_PART)

done:
	VZEROUPPER
	RET

// BACKWARD turns the gates of eight units in Y0-Y3, c before in Y4, tanhC in Y5,
// dh in Y6 and dc in Y7 into dz and the dc of the step before.
#define BACKWARD(STORE) \
	VMOVUPS ONE, Y14;            \
	VMULPS Y1, Y6, Y8;           \
	VMOVAPS Y14, Y9;             \
	VFNMADD231PS Y5, Y5, Y9;     \
	VFMADD231PS Y9, Y8, Y7;      \
	VMULPS Y2, Y7, Y9;           \
	STORE(Y9, (R12));            \
	VMULPS Y5, Y8, Y8;           \
	VSUBPS Y1, Y14, Y9;          \
	VMULPS Y9, Y8, Y8;           \
	STORE(Y8, (DI)(SI*1));       \
	VSUBPS Y0, Y14, Y9;          \
	VMULPS Y0, Y9, Y9;           \
	VMULPS Y3, Y9, Y9;           \
	VMULPS Y7, Y9, Y9;           \
	STORE(Y9, (DI));             \
	VMOVAPS Y14, Y10;            \
	VFNMADD231PS Y3, Y3, Y10;    \
	VMULPS Y0, Y10, Y10;         \
	VMULPS Y7, Y10, Y10;         \
	STORE(Y10, (DI)(R8*1));      \
	VSUBPS Y2, Y14, Y11;         \
	VMULPS Y2, Y11, Y11;         \
	VMULPS Y4, Y11, Y11;         \
	VMULPS Y7, Y11, Y11;         \
	STORE(Y11, (DI)(SI*2))

#define GRADIENTS(LOAD) \
	LOAD((R10), Y5); \
	LOAD((R11), Y6); \
	LOAD((R12), Y7)

// func cellBackwardAVX2(n int, z, before, tanhC, dh, dc *float32)
//
// Registers: DI z, SI and R8 one and three gates in bytes, R9 before, R10 tanhC,
// R11 dh, R12 dc, CX units left; Y0-Y7 as BACKWARD has them, Y15 mask.
TEXT ·cellBackwardAVX2(SB), NOSPLIT, $0-48
	MOVQ n+0(FP), CX
	MOVQ z+8(FP), DI
	MOVQ before+16(FP), R9
	MOVQ tanhC+24(FP), R10
	MOVQ dh+32(FP), R11
	MOVQ dc+40(FP), R12
	LEAQ (CX*4), SI
	LEAQ (SI)(SI*2), R8
	VXORPS Y4, Y4, Y4

loop:
	SUBQ $8, CX
	JLT  tail
	GATES(LOAD)
	GRADIENTS(LOAD)
	TESTQ R9, R9
	JEQ   first
	LOAD((R9), Y4)
	ADDQ $32, R9

first:
	BACKWARD(STORE)
	ADDQ $32, DI
	ADDQ $32, R10
	ADDQ $32, R11
	ADDQ $32, R12
	JMP  loop

tail:
	ADDQ $8, CX
	JEQ  done
	MASK
	GATES(LOAD_PART)
	GRADIENTS(LOAD_PART)
	TESTQ R9, R9
	JEQ   firstPart
	LOAD_PART((R9), Y4)

firstPart:
	BACKWARD(STORE_PART)

done:
	VZEROUPPER
	RET
