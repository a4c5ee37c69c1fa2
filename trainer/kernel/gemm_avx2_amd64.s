#include "textflag.h"

// Micro-kernels of the matrix product for AVX2 with FMA3. Each computes a strip
// of C, R rows x up to 16 columns at a time, R one of 6, 4, 2 and 1. The
// arithmetic, element by element, and the contract are those of the AVX-512
// kernels; rows of B must hold 16 elements each and cols is 1 to 16.
//
// Registers:
//	SI      A of the tile             DI      C of the tile
//	AX, BX  A at l, rows 0-3 and 4-5  DX      B at l
//	R8, R9  1 and 3 rows of A, bytes  R10     ks in bytes
//	R11     B                         R12     bs in bytes
//	R13     ldc in bytes              CX      what is left of k
//	Y0, Y1  a row of B; in the write-back, masks of the columns that C has
//	Y2, Y3  one element of A in all lanes; in the write-back, a row of D
//	Y4-Y15  C of the tile, two registers a row
//	AX, BX  in the write-back, D and ldd in bytes
//
// Loop: for each tile { for each l { 2 loads, R broadcasts, 2R multiply-adds };
// write back }. The tile of 6 x 16 uses every register there is. Masked stores
// are slow on some processors, so whole rows of 16 have a path without them.

// Sixteen ones and sixteen zeros: 16 - cols elements into it begins a mask of
// cols ones.
DATA columns<>+0(SB)/8, $-1
DATA columns<>+8(SB)/8, $-1
DATA columns<>+16(SB)/8, $-1
DATA columns<>+24(SB)/8, $-1
DATA columns<>+32(SB)/8, $-1
DATA columns<>+40(SB)/8, $-1
DATA columns<>+48(SB)/8, $-1
DATA columns<>+56(SB)/8, $-1
DATA columns<>+64(SB)/8, $0
DATA columns<>+72(SB)/8, $0
DATA columns<>+80(SB)/8, $0
DATA columns<>+88(SB)/8, $0
DATA columns<>+96(SB)/8, $0
DATA columns<>+104(SB)/8, $0
DATA columns<>+112(SB)/8, $0
DATA columns<>+120(SB)/8, $0
GLOBL columns<>(SB), RODATA|NOPTR, $128

#define ARGS \
	MOVQ a+16(FP), SI;    \
	MOVQ rs+24(FP), R8;   \
	MOVQ ks+32(FP), R10;  \
	MOVQ b+40(FP), R11;   \
	MOVQ bs+48(FP), R12;  \
	MOVQ c+56(FP), DI;    \
	MOVQ ldc+64(FP), R13; \
	SHLQ $2, R8;          \
	SHLQ $2, R10;         \
	SHLQ $2, R12;         \
	SHLQ $2, R13;         \
	LEAQ (R8)(R8*2), R9

#define TILE \
	MOVQ SI, AX;         \
	LEAQ (SI)(R8*4), BX; \
	MOVQ R11, DX;        \
	MOVQ k+8(FP), CX

// FETCH_C asks for four rows of C, which are needed when the sums are done, and
// leaves AX at the fourth. FETCH_2C asks for two more.
#define FETCH_C \
	LEAQ (DI)(R13*2), AX;     \
	PREFETCHT0 (DI);          \
	PREFETCHT0 (DI)(R13*1);   \
	PREFETCHT0 (AX);          \
	ADDQ R13, AX;             \
	PREFETCHT0 (AX)

#define FETCH_2C \
	PREFETCHT0 (AX)(R13*1);   \
	PREFETCHT0 (AX)(R13*2)

#define ROW_OF_B \
	VMOVUPS (DX), Y0;   \
	VMOVUPS 32(DX), Y1; \
	ADDQ R12, DX

#define ZERO(lower, upper) \
	VXORPS lower, lower, lower; \
	VXORPS upper, upper, upper

#define ROW(element, all, lower, upper) \
	VBROADCASTSS element, all;   \
	VFMADD231PS Y0, all, lower;  \
	VFMADD231PS Y1, all, upper

#define MASKS \
	MOVQ cols+72(FP), CX;        \
	NEGQ CX;                     \
	LEAQ columns<>+64(SB), AX;   \
	VMOVUPS (AX)(CX*4), Y0;      \
	VMOVUPS 32(AX)(CX*4), Y1

// ADDEND points AX at D of the tile and makes BX the distance between its rows,
// or goes to none when there is no D.
#define ADDEND(none) \
	MOVQ d+80(FP), AX;   \
	TESTQ AX, AX;        \
	JEQ none;            \
	MOVQ ldd+88(FP), BX; \
	SHLQ $2, BX

// ADD_D adds a row of D, STORE_C writes one of C; both move on to the next. The
// last row is followed by the first of the next tile. ADD_PART and STORE_PART do
// the same for the columns in the masks.
#define ADD_D(lower, upper) \
	VADDPS (AX), lower, lower;   \
	VADDPS 32(AX), upper, upper; \
	ADDQ BX, AX

#define STORE_C(lower, upper) \
	VMOVUPS lower, (DI);   \
	VMOVUPS upper, 32(DI); \
	ADDQ R13, DI

#define ADD_PART(lower, upper) \
	VMASKMOVPS (AX), Y0, Y2;   \
	VMASKMOVPS 32(AX), Y1, Y3; \
	VADDPS Y2, lower, lower;   \
	VADDPS Y3, upper, upper;   \
	ADDQ BX, AX

#define STORE_PART(lower, upper) \
	VMASKMOVPS lower, Y0, (DI);   \
	VMASKMOVPS upper, Y1, 32(DI); \
	ADDQ R13, DI

// func gemm6x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm6x16(SB), NOSPLIT, $0-96
	ARGS

tile:
	FETCH_C
	FETCH_2C
	TILE
	ZERO(Y4, Y5)
	ZERO(Y6, Y7)
	ZERO(Y8, Y9)
	ZERO(Y10, Y11)
	ZERO(Y12, Y13)
	ZERO(Y14, Y15)

depth:
	ROW_OF_B
	ROW((AX), Y2, Y4, Y5)
	ROW((AX)(R8*1), Y3, Y6, Y7)
	ROW((AX)(R8*2), Y2, Y8, Y9)
	ROW((AX)(R9*1), Y3, Y10, Y11)
	ROW((BX), Y2, Y12, Y13)
	ROW((BX)(R8*1), Y3, Y14, Y15)
	ADDQ R10, AX
	ADDQ R10, BX
	DECQ CX
	JNZ  depth

	CMPQ cols+72(FP), $16
	JNE  part
	ADDEND(store)
	ADD_D(Y4, Y5)
	ADD_D(Y6, Y7)
	ADD_D(Y8, Y9)
	ADD_D(Y10, Y11)
	ADD_D(Y12, Y13)
	ADD_D(Y14, Y15)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Y4, Y5)
	STORE_C(Y6, Y7)
	STORE_C(Y8, Y9)
	STORE_C(Y10, Y11)
	STORE_C(Y12, Y13)
	STORE_C(Y14, Y15)

next:
	LEAQ (SI)(R8*4), SI
	LEAQ (SI)(R8*2), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

part:
	MASKS
	ADDEND(storePart)
	ADD_PART(Y4, Y5)
	ADD_PART(Y6, Y7)
	ADD_PART(Y8, Y9)
	ADD_PART(Y10, Y11)
	ADD_PART(Y12, Y13)
	ADD_PART(Y14, Y15)
	MOVQ AX, d+80(FP)

storePart:
	STORE_PART(Y4, Y5)
	STORE_PART(Y6, Y7)
	STORE_PART(Y8, Y9)
	STORE_PART(Y10, Y11)
	STORE_PART(Y12, Y13)
	STORE_PART(Y14, Y15)
	JMP next

// func gemm4x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm4x16(SB), NOSPLIT, $0-96
	ARGS

tile:
	FETCH_C
	TILE
	ZERO(Y4, Y5)
	ZERO(Y6, Y7)
	ZERO(Y8, Y9)
	ZERO(Y10, Y11)

depth:
	ROW_OF_B
	ROW((AX), Y2, Y4, Y5)
	ROW((AX)(R8*1), Y3, Y6, Y7)
	ROW((AX)(R8*2), Y2, Y8, Y9)
	ROW((AX)(R9*1), Y3, Y10, Y11)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	CMPQ cols+72(FP), $16
	JNE  part
	ADDEND(store)
	ADD_D(Y4, Y5)
	ADD_D(Y6, Y7)
	ADD_D(Y8, Y9)
	ADD_D(Y10, Y11)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Y4, Y5)
	STORE_C(Y6, Y7)
	STORE_C(Y8, Y9)
	STORE_C(Y10, Y11)

next:
	LEAQ (SI)(R8*4), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

part:
	MASKS
	ADDEND(storePart)
	ADD_PART(Y4, Y5)
	ADD_PART(Y6, Y7)
	ADD_PART(Y8, Y9)
	ADD_PART(Y10, Y11)
	MOVQ AX, d+80(FP)

storePart:
	STORE_PART(Y4, Y5)
	STORE_PART(Y6, Y7)
	STORE_PART(Y8, Y9)
	STORE_PART(Y10, Y11)
	JMP next

// func gemm2x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm2x16(SB), NOSPLIT, $0-96
	ARGS

tile:
	TILE
	ZERO(Y4, Y5)
	ZERO(Y6, Y7)

depth:
	ROW_OF_B
	ROW((AX), Y2, Y4, Y5)
	ROW((AX)(R8*1), Y3, Y6, Y7)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	CMPQ cols+72(FP), $16
	JNE  part
	ADDEND(store)
	ADD_D(Y4, Y5)
	ADD_D(Y6, Y7)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Y4, Y5)
	STORE_C(Y6, Y7)

next:
	LEAQ (SI)(R8*2), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

part:
	MASKS
	ADDEND(storePart)
	ADD_PART(Y4, Y5)
	ADD_PART(Y6, Y7)
	MOVQ AX, d+80(FP)

storePart:
	STORE_PART(Y4, Y5)
	STORE_PART(Y6, Y7)
	JMP next

// func gemm1x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm1x16(SB), NOSPLIT, $0-96
	ARGS

tile:
	TILE
	ZERO(Y4, Y5)

depth:
	ROW_OF_B
	ROW((AX), Y2, Y4, Y5)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	CMPQ cols+72(FP), $16
	JNE  part
	ADDEND(store)
	ADD_D(Y4, Y5)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Y4, Y5)

next:
	LEAQ (SI)(R8*1), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

part:
	MASKS
	ADDEND(storePart)
	ADD_PART(Y4, Y5)
	MOVQ AX, d+80(FP)

storePart:
	STORE_PART(Y4, Y5)
	JMP next
