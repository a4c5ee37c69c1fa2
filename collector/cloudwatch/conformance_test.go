package cloudwatch

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/collectortest"
	"github.com/forescale/forescale/internal/conf"
)

// conformancePage is how many points the fake of the conformance suite puts on a
// page: few, so that pages end in the middle of a series.
const conformancePage = 9_000

// wire answers GetMetricData in Smithy RPC v2 CBOR out of what a Provider holds.
type wire struct {
	*collectortest.Provider
	t *testing.T
}

func (f wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	in, err2 := cbor.Decode(body)
	if err != nil || err2 != nil || !strings.HasSuffix(r.URL.Path, "/operation/GetMetricData") || r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		f.t.Errorf("%s %s: %v, %v", r.Method, r.URL, err, err2)
		return
	}
	refuse := func(status int, code, text string) {
		if f.EchoSecret {
			text += " (your " + r.Header.Get("Authorization") + ")"
		}
		w.Header().Set("X-Amzn-Query-Error", code+";Sender")
		f.write(w, status, cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#" + code), "message": cbor.String(text)})
	}
	throttle := f.Called()
	switch {
	case f.Hang:
		<-r.Context().Done()
	case throttle:
		refuse(http.StatusBadRequest, "Throttling", "Rate exceeded")
	case f.Down:
		refuse(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: cloudwatch:GetMetricData")
	case f.Endless:
		f.pour(w)
	default:
		f.write(w, http.StatusOK, f.answer(in.(cbor.Map)))
	}
}

func (f wire) write(w http.ResponseWriter, status int, v cbor.Value) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(status)
	_, _ = w.Write(cbor.Encode(v)) // the client is gone; there is nobody to tell
}

// metricNames are those that CloudWatch has for the metrics of the suite.
var metricNames = map[string]string{"CPUUtilization": api.MetricCPU, "NetworkIn": api.MetricNetworkIn}

func (f wire) answer(in cbor.Map) cbor.Map {
	start, err := cbor.AsTime(in["StartTime"])
	end, err2 := cbor.AsTime(in["EndTime"])
	if err != nil || err2 != nil {
		f.t.Errorf("range: %v, %v", err, err2)
	}
	skip := 0 // points of earlier pages
	if token, ok := in["NextToken"].(cbor.String); ok {
		if skip, err = strconv.Atoi(string(token)); err != nil {
			f.t.Error(err)
		}
	}
	var results cbor.List
	position, out := 0, cbor.Map{"Messages": cbor.List{}}
	for _, q := range in["MetricDataQueries"].(cbor.List) {
		metric := q.(cbor.Map)["MetricStat"].(cbor.Map)["Metric"].(cbor.Map)
		group := metric["Dimensions"].(cbor.List)[0].(cbor.Map)["Value"].(cbor.String)
		name := metricNames[string(metric["MetricName"].(cbor.String))]
		result := cbor.Map{"Id": q.(cbor.Map)["Id"], "StatusCode": cbor.String("Complete")}
		var times, values cbor.List
		points := f.Points(collector.Series{Group: string(group), Metric: name, Stat: api.DefaultStat(name)}, start, end)
		if name == f.FailMetric {
			result["StatusCode"], points = cbor.String("Forbidden"), nil
		}
		for _, p := range points {
			position++
			switch {
			case position <= skip:
			case position > skip+conformancePage:
				result["StatusCode"] = cbor.String("PartialData")
				out["NextToken"] = cbor.String(strconv.Itoa(skip + conformancePage))
			default:
				times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(p.Time.Unix())})
				values = append(values, cbor.Float64(p.Value))
			}
		}
		result["Timestamps"], result["Values"] = times, values
		results = append(results, result)
	}
	out["MetricDataResults"] = results
	return out
}

// pour begins a text of a length that never comes.
func (f wire) pour(w http.ResponseWriter) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	text := append([]byte{0xa1, 0x7b}, binary.BigEndian.AppendUint64(nil, 1<<40)...)
	for {
		n, err := w.Write(text)
		if !f.Wrote(n) || err != nil {
			return
		}
		text = make([]byte, 1<<16)
	}
}

func TestConformance(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", collectortest.Secret)
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	var series []collector.Series
	var cfg Config
	for _, group := range []string{"web", "päge"} {
		series = append(series, collector.Series{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg},
			collector.Series{Group: group, Metric: api.MetricNetworkIn, Stat: api.StatSum})
		cfg.Groups = append(cfg.Groups, Group{Name: group, Metrics: []string{api.MetricCPU, api.MetricNetworkIn}})
	}
	collectortest.Run(t, collectortest.Harness{
		Series: series, Step: step, Start: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Long: 30_000, MaxAnswer: 64 << 20,
		Open: func(t *testing.T, p *collectortest.Provider) collector.Source {
			srv := httptest.NewServer(wire{p, t})
			t.Cleanup(srv.Close)
			s, err := Open(t.Context(), "cloudwatch", cfg, Deps{AWS: conf.AWS{Region: "us-east-1", CloudWatchEndpoint: srv.URL}, Step: step, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	})
}
