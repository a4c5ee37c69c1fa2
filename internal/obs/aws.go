package obs

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/smithy-go/logging"
)

// AWS returns a logger for the AWS SDK that writes to log, at debug level
// whatever the SDK's own: a call that fails is reported by its error, and what
// the SDK warns of besides (a connection that cannot be reused) is no operator's
// business. Without it, the SDK writes to standard error in a form of its own. A
// nil log discards.
func AWS(log *slog.Logger) logging.Logger {
	if log == nil {
		return logging.Nop{}
	}
	return logging.LoggerFunc(func(class logging.Classification, format string, args ...any) {
		if log.Enabled(context.Background(), slog.LevelDebug) {
			log.Debug("AWS SDK", "class", string(class), "text", fmt.Sprintf(format, args...))
		}
	})
}
