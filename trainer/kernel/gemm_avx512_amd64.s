#include "textflag.h"

// Micro-kernels of the matrix product for AVX-512F. Each computes a strip of C,
// R rows x up to 32 columns at a time, R one of 8, 4, 2 and 1:
//
//	C[r, j] = Σ_l A[r, l] B[l, j] + D[r, j]
//
// as a chain of fused multiply-adds over l from 0 up, started from zero, and then,
// unless d is nil, one addition. D may be C itself; its rows are ldd elements
// apart, 0 for one row that is added to all. Rows of A are rs elements apart and
// its columns ks, so that A and its transpose are read where they lie. Rows of B
// are bs elements apart and must hold 32 elements each, whatever cols is. Of C
// and D only cols (1 to 32) elements of each row are written or read.
//
// Registers:
//	SI      A of the tile             DI      C of the tile
//	AX, BX  A at l, rows 0-3 and 4-7  DX      B at l
//	R8, R9  1 and 3 rows of A, bytes  R10     ks in bytes
//	R11     B                         R12     bs in bytes
//	R13     ldc in bytes              CX      what is left of k
//	Z0, Z1  a row of B                Z2-Z5   one element of A in all lanes
//	Z16-Z31 C of the tile, two registers a row
//	K1, K2  columns of the lower and upper half that C has
//	AX, BX  in the write-back, D and ldd in bytes
//
// Loop: for each tile { for each l { 2 loads, R broadcasts, 2R multiply-adds };
// write back }. The tile of 8 x 32 keeps 16 independent chains going, twice what
// two units of latency 4 need, and leaves the loads at 10 for 16 multiply-adds.

#define ARGS \
	MOVQ a+16(FP), SI;    \
	MOVQ rs+24(FP), R8;   \
	MOVQ ks+32(FP), R10;  \
	MOVQ b+40(FP), R11;   \
	MOVQ bs+48(FP), R12;  \
	MOVQ c+56(FP), DI;    \
	MOVQ ldc+64(FP), R13; \
	MOVQ cols+72(FP), CX; \
	SHLQ $2, R8;          \
	SHLQ $2, R10;         \
	SHLQ $2, R12;         \
	SHLQ $2, R13;         \
	LEAQ (R8)(R8*2), R9;  \
	MOVQ $1, AX;          \
	SHLQ CX, AX;          \
	DECQ AX;              \
	KMOVW AX, K1;         \
	SHRQ $16, AX;         \
	KMOVW AX, K2

#define TILE \
	MOVQ SI, AX;           \
	LEAQ (SI)(R8*4), BX;   \
	MOVQ R11, DX;          \
	MOVQ k+8(FP), CX

// FETCH_C asks for eight rows of C, which are needed when the sums are done: a
// large C is in no near cache, and one that is about to be written for the first
// time in none at all. A prefetch never faults, so that cols need not be heeded.
#define FETCH_C \
	MOVQ DI, AX;                 \
	LEAQ (R13)(R13*2), DX;       \
	PREFETCHT0 (AX);             \
	PREFETCHT0 64(AX);           \
	PREFETCHT0 (AX)(R13*1);      \
	PREFETCHT0 64(AX)(R13*1);    \
	PREFETCHT0 (AX)(R13*2);      \
	PREFETCHT0 64(AX)(R13*2);    \
	PREFETCHT0 (AX)(DX*1);       \
	PREFETCHT0 64(AX)(DX*1);     \
	LEAQ (AX)(R13*4), AX;        \
	PREFETCHT0 (AX);             \
	PREFETCHT0 64(AX);           \
	PREFETCHT0 (AX)(R13*1);      \
	PREFETCHT0 64(AX)(R13*1);    \
	PREFETCHT0 (AX)(R13*2);      \
	PREFETCHT0 64(AX)(R13*2);    \
	PREFETCHT0 (AX)(DX*1);       \
	PREFETCHT0 64(AX)(DX*1)

#define ROW_OF_B \
	VMOVUPS (DX), Z0;   \
	VMOVUPS 64(DX), Z1; \
	ADDQ R12, DX

#define ZERO(lower, upper) \
	VPXORQ lower, lower, lower; \
	VPXORQ upper, upper, upper

#define ROW(element, all, lower, upper) \
	VBROADCASTSS element, all;   \
	VFMADD231PS Z0, all, lower;  \
	VFMADD231PS Z1, all, upper

// ADDEND points AX at D of the tile and makes BX the distance between its rows,
// or goes to none when there is no D.
#define ADDEND(none) \
	MOVQ d+80(FP), AX;   \
	TESTQ AX, AX;        \
	JEQ none;            \
	MOVQ ldd+88(FP), BX; \
	SHLQ $2, BX

// ADD_D adds a row of D, STORE_C writes one of C; both move on to the next. The
// last row is followed by the first of the next tile.
#define ADD_D(lower, upper) \
	VMOVUPS.Z (AX), K1, Z0;   \
	VMOVUPS.Z 64(AX), K2, Z1; \
	VADDPS Z0, lower, lower;  \
	VADDPS Z1, upper, upper;  \
	ADDQ BX, AX

#define STORE_C(lower, upper) \
	VMOVUPS lower, K1, (DI);   \
	VMOVUPS upper, K2, 64(DI); \
	ADDQ R13, DI

// func gemm8x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm8x32(SB), NOSPLIT, $0-96
	ARGS

tile:
	FETCH_C
	TILE
	ZERO(Z16, Z17)
	ZERO(Z18, Z19)
	ZERO(Z20, Z21)
	ZERO(Z22, Z23)
	ZERO(Z24, Z25)
	ZERO(Z26, Z27)
	ZERO(Z28, Z29)
	ZERO(Z30, Z31)

depth:
	ROW_OF_B
	ROW((AX), Z2, Z16, Z17)
	ROW((AX)(R8*1), Z3, Z18, Z19)
	ROW((AX)(R8*2), Z4, Z20, Z21)
	ROW((AX)(R9*1), Z5, Z22, Z23)
	ROW((BX), Z2, Z24, Z25)
	ROW((BX)(R8*1), Z3, Z26, Z27)
	ROW((BX)(R8*2), Z4, Z28, Z29)
	ROW((BX)(R9*1), Z5, Z30, Z31)
	ADDQ R10, AX
	ADDQ R10, BX
	DECQ CX
	JNZ  depth

	ADDEND(store)
	ADD_D(Z16, Z17)
	ADD_D(Z18, Z19)
	ADD_D(Z20, Z21)
	ADD_D(Z22, Z23)
	ADD_D(Z24, Z25)
	ADD_D(Z26, Z27)
	ADD_D(Z28, Z29)
	ADD_D(Z30, Z31)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Z16, Z17)
	STORE_C(Z18, Z19)
	STORE_C(Z20, Z21)
	STORE_C(Z22, Z23)
	STORE_C(Z24, Z25)
	STORE_C(Z26, Z27)
	STORE_C(Z28, Z29)
	STORE_C(Z30, Z31)
	LEAQ (SI)(R8*8), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

// func gemm4x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm4x32(SB), NOSPLIT, $0-96
	ARGS

tile:
	TILE
	ZERO(Z16, Z17)
	ZERO(Z18, Z19)
	ZERO(Z20, Z21)
	ZERO(Z22, Z23)

depth:
	ROW_OF_B
	ROW((AX), Z2, Z16, Z17)
	ROW((AX)(R8*1), Z3, Z18, Z19)
	ROW((AX)(R8*2), Z4, Z20, Z21)
	ROW((AX)(R9*1), Z5, Z22, Z23)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	ADDEND(store)
	ADD_D(Z16, Z17)
	ADD_D(Z18, Z19)
	ADD_D(Z20, Z21)
	ADD_D(Z22, Z23)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Z16, Z17)
	STORE_C(Z18, Z19)
	STORE_C(Z20, Z21)
	STORE_C(Z22, Z23)
	LEAQ (SI)(R8*4), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

// func gemm2x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm2x32(SB), NOSPLIT, $0-96
	ARGS

tile:
	TILE
	ZERO(Z16, Z17)
	ZERO(Z18, Z19)

depth:
	ROW_OF_B
	ROW((AX), Z2, Z16, Z17)
	ROW((AX)(R8*1), Z3, Z18, Z19)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	ADDEND(store)
	ADD_D(Z16, Z17)
	ADD_D(Z18, Z19)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Z16, Z17)
	STORE_C(Z18, Z19)
	LEAQ (SI)(R8*2), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET

// func gemm1x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)
TEXT ·gemm1x32(SB), NOSPLIT, $0-96
	ARGS

tile:
	TILE
	ZERO(Z16, Z17)

depth:
	ROW_OF_B
	ROW((AX), Z2, Z16, Z17)
	ADDQ R10, AX
	DECQ CX
	JNZ  depth

	ADDEND(store)
	ADD_D(Z16, Z17)
	MOVQ AX, d+80(FP)

store:
	STORE_C(Z16, Z17)
	LEAQ (SI)(R8*1), SI
	DECQ tiles+0(FP)
	JNZ  tile
	VZEROUPPER
	RET
