package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openLoop is what an open loop found: requests come when they come, whether or not
// the ones before are answered, as they do from independent callers.
type openLoop struct {
	P50, P99 float64 // from the scheduled arrival to the whole answer, ms
	Requests int
	Failed   int // no answer, or another than 200
}

// inFlight bounds the requests in flight. Those that are due beyond it wait, and their
// wait counts.
const inFlight = 512

// measureOpen posts a body at a rate, with exponentially distributed gaps, and prints an
// openLoop as JSON.
func measureOpen(ctx context.Context, url, file string, rate float64, length time.Duration, w io.Writer) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := punctual(); err != nil {
		return err
	}
	due := arrivals(rand.New(rand.NewPCG(7, 11)), rate, length)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, MaxConnsPerHost: inFlight}}
	took := make([]time.Duration, len(due)) // 0: failed
	next := make(chan int, len(due))
	var wait sync.WaitGroup
	start := time.Now()
	for range inFlight {
		wait.Go(func() {
			for i := range next {
				if post(ctx, client, url, body) == nil {
					took[i] = time.Since(start) - due[i]
				}
			}
		})
	}
	for i, at := range due {
		if err := sleepUntil(ctx, start.Add(at)); err != nil {
			break
		}
		next <- i
	}
	close(next)
	wait.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	result := openLoop{Requests: len(due)}
	var ms []float64
	for _, t := range took {
		if t == 0 {
			result.Failed++
			continue
		}
		ms = append(ms, t.Seconds()*1e3)
	}
	if len(ms) == 0 {
		return fmt.Errorf("none of %d requests was answered", len(due))
	}
	result.P50, result.P99 = quantile(ms, 0.5), quantile(ms, 0.99)
	return json.NewEncoder(w).Encode(result)
}

// arrivals returns the times of a Poisson process.
func arrivals(rng *rand.Rand, rate float64, length time.Duration) []time.Duration {
	var due []time.Duration
	for at := 0.0; ; {
		at += rng.ExpFloat64() / rate
		if t := time.Duration(at * float64(time.Second)); t < length {
			due = append(due, t)
		} else {
			return due
		}
	}
}

// sleepUntil waits for a moment, on a thread of its own. Go's timers are late by up to a
// millisecond; and a goroutine that waits actively keeps the runtime from looking at the
// network, so that answers seem to come later than they do.
func sleepUntil(ctx context.Context, at time.Time) error {
	for {
		left := time.Until(at)
		if left <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		t := unix.NsecToTimespec(int64(min(left, 100*time.Millisecond)))
		if err := unix.Nanosleep(&t, nil); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// punctual makes the calling thread wake from sleeps in time, to a few microseconds
// instead of the usual fifty, and leaves the runtime a processor for the others.
func punctual() error {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(2)
	return unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}
