package ort

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
static void few_arenas(void) { mallopt(M_ARENA_MAX, 2); }
static void trim(void) { malloc_trim(0); }
#else
static void few_arenas(void) {}
static void trim(void) {}
#endif
*/
import "C"

// fewArenas keeps the C library from giving nearly every thread a heap of its own. Go
// moves the loads and runs of models between threads, so that each heap would end up
// with holes that only its own threads can fill: a server that reloads its models grew
// by a megabyte for every twenty reloads.
func fewArenas() { C.few_arenas() }

// trim gives memory that ONNX Runtime has freed back to the system. The C library keeps
// it otherwise, and all the more after large blocks.
func trim() { C.trim() }
