package fleet

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
	"golang.org/x/time/rate"
)

const (
	cloudWatchPath = "/service/GraniteServiceVersion20100801/operation/"
	// maxBody bounds a request, in bytes.
	maxBody = 4 << 20
)

// Handler returns the services of a cloud on one address: CloudWatch by its
// path, Auto Scaling, load balancing and the Security Token Service at /, and the control of the
// simulation itself at
//
//	GET  /_simulation/state                        State
//	POST /_simulation/advance   {"to": TIME}       State after Advance
//	POST /_simulation/traps     Traps              replaces all traps
//	POST /_simulation/change    GroupChange        Schedule
//	GET  /_simulation/summary?group=&from=&to=     Metrics
//
// Requests are not authenticated: it is meant for loopback. An access key that
// AssumeRole gave out decides which account's groups its calls see, though.
func Handler(c *Cloud) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cloudWatchPath+"{operation}", c.serveCloudWatch)
	mux.HandleFunc("POST /{$}", c.serveQuery)
	mux.HandleFunc("GET /_simulation/state", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.State(), nil) })
	mux.HandleFunc("POST /_simulation/advance", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			To time.Time `json:"to"`
		}
		err := readJSON(w, r, &in)
		if err == nil {
			err = c.Advance(in.To)
		}
		answer(w, c.State(), err)
	})
	mux.HandleFunc("POST /_simulation/traps", func(w http.ResponseWriter, r *http.Request) {
		var t Traps
		err := readJSON(w, r, &t)
		if err == nil {
			c.SetTraps(t)
		}
		answer(w, t, err)
	})
	mux.HandleFunc("POST /_simulation/change", func(w http.ResponseWriter, r *http.Request) {
		var change GroupChange
		err := readJSON(w, r, &change)
		if err == nil {
			err = c.Schedule(change)
		}
		answer(w, change, err)
	})
	mux.HandleFunc("GET /_simulation/summary", c.serveSummary)
	return mux
}

// Serve answers requests on a listener until the context ends, then lets those
// under way finish for a moment. It returns nil on such an orderly end.
func Serve(ctx context.Context, l net.Listener, c *Cloud) error {
	s := &http.Server{
		Handler:           Handler(c),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := s.Shutdown(grace)
		if err != nil {
			err = errors.Join(err, s.Close())
		}
		stopped <- err
	})
	err := s.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}

func (c *Cloud) serveSummary(w http.ResponseWriter, r *http.Request) {
	from, err := time.Parse(time.RFC3339, r.FormValue("from"))
	to, err2 := time.Parse(time.RFC3339, r.FormValue("to"))
	if err = errors.Join(err, err2); err != nil {
		answer(w, nil, err)
		return
	}
	m, err := c.Summary(r.FormValue("group"), from, to)
	answer(w, m, err)
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// answer writes a value as JSON, or an error as {"error": text}.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, ErrNoGroup) {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the client is gone; there is nobody to tell
}

// interfere carries out the fault that hits a call: it returns the error to
// answer, or breaks the connection. With lose, the call shall have its effect and
// the connection break instead of the answer.
func (c *Cloud) interfere(r *http.Request, operation, group string) (lose bool, err *apiError) {
	c.mu.Lock()
	kind := c.traps.fault(operation, group, c.clock)
	c.mu.Unlock()
	switch kind {
	case FaultLostRequest:
		panic(http.ErrAbortHandler)
	case FaultHang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	return kind == FaultLostResponse, kind.apiError()
}

// serveCloudWatch speaks Smithy RPC v2 CBOR.
func (c *Cloud) serveCloudWatch(w http.ResponseWriter, r *http.Request) {
	operation := r.PathValue("operation")
	handle, ok := map[string]func(*Cloud, caller, cbor.Map) (cbor.Map, *apiError){
		"GetMetricData": (*Cloud).getMetricData,
		"ListMetrics":   (*Cloud).listMetrics,
	}[operation]
	switch {
	case r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" || r.Header.Get("Content-Type") != "application/cbor":
		writeCBORError(w, &apiError{Status: 415, Code: "UnsupportedMediaType", Message: "This endpoint speaks rpc-v2-cbor only."})
		return
	case !ok:
		writeCBORError(w, &apiError{Status: 404, Code: "UnknownOperationException", Message: "This simulation does not know " + operation + "."})
		return
	}
	// The body comes first: without it the server does not notice that a client
	// has gone away.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeCBORError(w, &apiError{Status: 413, Code: "RequestEntityTooLarge", Message: err.Error()})
		return
	}
	from, fault := c.caller(r)
	c.count(Call{Operation: operation, Account: from.account, Region: from.region, Role: from.role}, action{})
	if fault != nil {
		writeCBORError(w, fault)
		return
	}
	lose, fault := c.interfere(r, operation, "")
	if fault != nil {
		writeCBORError(w, fault)
		return
	}
	in := cbor.Map{}
	if len(body) > 0 {
		v, err := cbor.Decode(body)
		m, isMap := v.(cbor.Map)
		if err != nil || !isMap {
			writeCBORError(w, &apiError{Status: 400, Code: "SerializationException", Message: fmt.Sprintf("The body is not a CBOR map: %v", err)})
			return
		}
		in = m
	}
	out, fault := locked(c, func(c *Cloud, in cbor.Map) (cbor.Map, *apiError) { return handle(c, from, in) }, in)
	switch {
	case lose:
		panic(http.ErrAbortHandler)
	case fault != nil:
		writeCBORError(w, fault)
	default:
		writeCBOR(w, http.StatusOK, out)
	}
}

func writeCBOR(w http.ResponseWriter, status int, v cbor.Value) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(status)
	_, _ = w.Write(cbor.Encode(v)) // the client is gone; there is nobody to tell
}

// writeCBORError also names the error as the older AWS Query protocol did, which
// clients prefer where the two names differ.
func writeCBORError(w http.ResponseWriter, e *apiError) {
	w.Header().Set("X-Amzn-Query-Error", e.Code+";"+e.fault())
	writeCBOR(w, e.Status, cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#" + e.shape()), "message": cbor.String(e.Message)})
}

// action is an operation of AWS Query.
type action struct {
	version   string // of its service's interface
	namespace string // of its answers
	// handle returns the result element, or nil for an empty answer. It is called
	// with the cloud's mutex held.
	handle func(*Cloud, request) (any, *apiError)
}

// actionOf returns the operation that a form asks for.
func actionOf(form url.Values) (action, *apiError) {
	name, version := form.Get("Action"), form.Get("Version")
	if handle, ok := autoScalingOperations[name]; ok && version == autoScalingVersion {
		return action{version, autoScalingNamespace, handle}, nil
	}
	if name == "DescribeTargetGroups" && version == balancingVersion {
		return action{version, balancingNamespace, (*Cloud).describeTargetGroups}, nil
	}
	if name == "AssumeRole" && version == stsVersion {
		return action{version, stsNamespace, (*Cloud).assumeRole}, nil
	}
	return action{}, &apiError{Status: 400, Code: "InvalidAction", Message: fmt.Sprintf("Could not find operation %s for version %s", name, version)}
}

// serveQuery speaks AWS Query.
func (c *Cloud) serveQuery(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		writeXMLError(w, &apiError{Status: 400, Code: "MalformedQueryString", Message: err.Error()})
		return
	}
	form := r.PostForm
	operation, group := form.Get("Action"), form.Get("AutoScalingGroupName")
	act, fault := actionOf(form)
	if fault != nil {
		writeXMLError(w, fault)
		return
	}
	from, fault := c.caller(r)
	throttled := c.count(Call{Operation: operation, Account: from.account, Region: from.region, Role: from.role, Group: group}, act)
	if act.namespace == autoScalingNamespace {
		// The provider's clock is the simulation's.
		w.Header().Set("Date", c.Now().Format(http.TimeFormat))
	}
	switch {
	case fault != nil:
		writeXMLError(w, fault)
		return
	case throttled:
		writeXMLError(w, errThrottled)
		return
	}
	lose, fault := c.interfere(r, operation, group)
	if fault != nil {
		writeXMLError(w, fault)
		return
	}
	out, fault := locked(c, act.handle, request{form, from})
	switch {
	case lose:
		panic(http.ErrAbortHandler)
	case fault != nil:
		writeXMLError(w, fault)
	default:
		writeXML(w, http.StatusOK, operation+"Response", xmlResponse{Result: out, resultName: operation + "Result", namespace: act.namespace})
	}
}

// count enters a call into the account of calls and reports whether the throttle
// of its account and region refuses it. Only Auto Scaling is throttled.
func (c *Cloud) count(call Call, act action) (throttled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call]++
	if c.config.CallsPerSecond <= 0 || act.namespace != autoScalingNamespace {
		return false
	}
	where := [2]string{call.Account, call.Region}
	if c.buckets[where] == nil {
		c.buckets[where] = rate.NewLimiter(rate.Limit(c.config.CallsPerSecond), max(1, c.config.CallBurst))
	}
	return !c.buckets[where].AllowN(c.config.WallClock(), 1)
}

// locked calls an operation while it holds the cloud's mutex.
func locked[In, Out any](c *Cloud, operation func(*Cloud, In) (Out, *apiError), in In) (Out, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return operation(c, in)
}

// xmlResponse wraps a result as AWS Query does.
type xmlResponse struct {
	Result     any
	resultName string
	namespace  string
}

// MarshalXML writes the result element and the metadata.
func (x xmlResponse) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	start.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: x.namespace}}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if x.Result != nil {
		if err := e.EncodeElement(x.Result, xml.StartElement{Name: xml.Name{Local: x.resultName}}); err != nil {
			return err
		}
	}
	metadata := struct {
		RequestID string `xml:"RequestId"`
	}{requestID}
	if err := e.EncodeElement(metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// requestID is the same for every request: answers are deterministic.
const requestID = "00000000-0000-4000-8000-000000000000"

func writeXML(w http.ResponseWriter, status int, root string, v any) {
	var b strings.Builder
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	if err := e.EncodeElement(v, xml.StartElement{Name: xml.Name{Local: root}}); err != nil {
		panic(err) // the answers are plain structs of ours
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, b.String()) // the client is gone; there is nobody to tell
}

func writeXMLError(w http.ResponseWriter, e *apiError) {
	type detail struct {
		Type    string `xml:"Type"`
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	writeXML(w, e.Status, "ErrorResponse", struct {
		Error     detail `xml:"Error"`
		RequestID string `xml:"RequestId"`
	}{detail{e.fault(), e.Code, e.Message}, requestID})
}
