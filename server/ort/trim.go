package ort

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
#else
static void trim(void) {}
#endif
*/
import "C"

// trim gives memory that ONNX Runtime has freed back to the system. The C library keeps
// it otherwise, in each of its arenas, and all the more after large blocks.
func trim() { C.trim() }
