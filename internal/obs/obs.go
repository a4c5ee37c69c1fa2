// Package obs makes the loggers of the processes. Shared attribute keys are
// group, metric, model, target, tick, key and err.
package obs

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w. Level is debug, info, warn or
// error; format is text or json. Anything else is an error that names it.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log.level: %q is not debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log.format: %q is not text or json", format)
}
