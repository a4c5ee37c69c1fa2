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

import (
	"runtime/debug"
	"sync"
	"time"
)

// fewArenas keeps the C library from giving nearly every thread a heap of its own. Go
// moves the loads and runs of models between threads, so that each heap would end up
// with holes that only its own threads can fill: a server that reloads its models grew
// by a megabyte for every twenty reloads.
func fewArenas() { C.few_arenas() }

// trimming is when the next trim may begin.
var trimming struct {
	sync.Mutex
	next time.Duration // as wallTime counts
}

// trim gives memory that a load or the end of a session has freed back to the system:
// that of ONNX Runtime, which the C library keeps otherwise, and all the more after large
// blocks, and that of Go, which would keep the model's file for minutes. With much memory
// in use it takes long, and is then left out so often that it takes no more than a
// twentieth of the time.
func trim() {
	if !trimming.TryLock() {
		return // somebody is at it
	}
	defer trimming.Unlock()
	began := wallTime()
	if began < trimming.next {
		return
	}
	C.trim()
	debug.FreeOSMemory()
	end := wallTime()
	trimming.next = end + 20*(end-began)
}
