package live

import (
	"context"
	"net/http"
	"time"
)

const (
	// heartbeat is how often a stream says something when there is nothing new, so that
	// neither side takes the other for dead, nor anything between them.
	heartbeat = 15 * time.Second
	// patience bounds writing to one viewer. Who takes longer is dropped, comes back by
	// itself, and is told what it has missed.
	patience = 10 * time.Second
	// comeBack is how long a viewer's browser waits before it does.
	comeBack = "retry: 2000\n\n"
)

// Serve answers a request with the stream of news, from the one after lastID on (the
// header Last-Event-ID; empty: from now on), until the viewer goes away, ctx ends or
// the hub is closed, and then returns nil. Before anything is written the error may be
// ErrFull or ErrClosed; after that it is of the connection.
//
// The server's own time limits of reading and writing do not count: the one that does
// is moved on with each message.
func (h *Hub) Serve(ctx context.Context, w http.ResponseWriter, lastID string) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.leave()
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // a server's read timeout would end the request
		return err
	}
	write := func(b []byte) error {
		// The operating system's clock: a deadline is no part of what is told.
		if err := control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return control.Flush()
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // for a proxy that would collect the messages
	w.WriteHeader(http.StatusOK)
	next := h.from(lastID)
	if err := write([]byte(comeBack)); err != nil {
		return err
	}
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	for {
		messages, following, more, closed := h.after(next)
		if len(messages) > 0 {
			if err := write(messages); err != nil {
				return err
			}
		}
		next = following
		if closed {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		case <-beat.C:
			if err := write([]byte(": still here\n\n")); err != nil {
				return err
			}
		}
	}
}
