package obs

import (
	"strings"
	"testing"

	"github.com/aws/smithy-go/logging"
)

func TestNewLogger(t *testing.T) {
	for name, c := range map[string]struct{ level, format, want string }{
		"text":                          {"info", "text", `level=WARN msg=m key=v`},
		"json":                          {"info", "json", `"level":"WARN","msg":"m","key":"v"`},
		"leaves out what is below":      {"error", "text", ""},
		"refuses a level that is none":  {"loud", "text", "log.level"},
		"refuses a format that is none": {"info", "xml", "log.format"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			log, err := NewLogger(&out, c.level, c.format)
			if err != nil {
				out.WriteString(err.Error())
			} else {
				log.Warn("m", "key", "v")
			}
			if !strings.Contains(out.String(), c.want) || c.want == "" && out.Len() > 0 {
				t.Errorf("got %q, want %q", out.String(), c.want)
			}
		})
	}
}

func TestTheSDKLogsAtDebugLevel(t *testing.T) {
	for level, want := range map[string]string{
		"debug": `level=DEBUG msg="AWS SDK" class=WARN text="attempt 2"`,
		"info":  "",
	} {
		var out strings.Builder
		log, err := NewLogger(&out, level, "text")
		if err != nil {
			t.Fatal(err)
		}
		AWS(log).Logf(logging.Warn, "attempt %d", 2)
		if !strings.Contains(out.String(), want) || want == "" && out.Len() > 0 {
			t.Errorf("at level %s: %q, want %q", level, out.String(), want)
		}
	}
	AWS(nil).Logf(logging.Warn, "nowhere")
}
