package server_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// Attacks of someone who can write the registry, upon a server that serves version 1
// and sees version 2 become champion.

// replaced returns a model of ours with something added to its graph.
func replaced(spec models.Spec, nodes ...onnxtest.Message) []byte {
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	fields := append(nodes, onnxtest.Input("series", -1, int64(spec.Lookback), int64(spec.Channels())), onnxtest.Output("forecast", -1, int64(spec.Horizon)))
	return onnxtest.Model(onnxtest.Graph(fields...), map[string]string{models.MetadataKey: string(text)}, "com.evil")
}

func TestEachAttackThroughTheRegistryIsRefusedAndTheOldVersionServesOn(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	ours, evil := models.WithSigner(key), []byte("evil")
	unsigned := func(*models.Registry) {}
	overwrite := func(t *testing.T, store blob.Store, key string, data []byte) {
		t.Helper()
		if _, err := store.Put(t.Context(), key, data, blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		writer models.Option // of version 2
		model  []byte        // of version 2; nil: a good one
		attack func(t *testing.T, store blob.Store)
		want   string // the reason
	}{
		"another model file": {ours, nil, func(t *testing.T, s blob.Store) { overwrite(t, s, "web/2/model.onnx", evil) }, "was changed or damaged"},
		"another model file, with its checksum in the manifest": {ours, nil, func(t *testing.T, s blob.Store) {
			o, err := s.Get(t.Context(), "web/2/manifest.json")
			if err != nil {
				t.Fatal(err)
			}
			var m models.Manifest
			if err := json.Unmarshal(o.Data, &m); err != nil {
				t.Fatal(err)
			}
			_, other := onnxtest.Persistence(spec, 1000)
			sum := sha256.Sum256(other)
			m.SHA256, m.SizeBytes = hex.EncodeToString(sum[:]), int64(len(other))
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, s, "web/2/model.onnx", other)
			overwrite(t, s, "web/2/manifest.json", raw)
		}, "the signature is not that of the manifest"},
		"a version without a signature":                   {unsigned, nil, nil, "there is no manifest.sig"},
		"a version that someone else has signed":          {models.WithSigner(stranger), nil, nil, "none of the trusted"},
		"weights in another file, under a good signature": {ours, replaced(spec, onnxtest.External("w", []int64{1}, "/etc/passwd")), nil, "external data"},
		"an operator of our own invention":                {ours, replaced(spec, onnxtest.Node("Shell", "com.evil", []string{"series"}, []string{"forecast"})), nil, "custom domain"},
		"a file that is no model":                         {ours, evil, nil, "not a valid ONNX model"},
	} {
		t.Run(name, func(t *testing.T) {
			store := blob.NewMemory()
			first, model := onnxtest.Persistence(spec, 1)
			first.Name = "web"
			if _, err := models.NewRegistry(store, ours).Put(t.Context(), first, model); err != nil {
				t.Fatal(err)
			}
			r := start(t, models.NewWatch(models.NewRegistry(store, models.WithTrust(key.Public().(ed25519.PublicKey)))), nil)
			ask := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}
			if got := r.predict(ask); got.Version != 1 {
				t.Fatalf("%+v", got)
			}
			second, model := onnxtest.Persistence(spec, 1000)
			if second.Name = "web"; c.model != nil {
				model = c.model
			}
			writer := models.NewRegistry(store, c.writer)
			if _, err := writer.Put(t.Context(), second, model); err != nil {
				t.Fatal(err)
			}
			if c.attack != nil {
				c.attack(t, store)
			}
			overwrite(t, store, "web/champion.json", []byte(`{"version":2,"previous":1}`))
			eventually(t, "the reason is in the status", func() bool {
				s := r.modelStatus("web")
				return s.Failure != nil && strings.Contains(s.Failure.Reason, c.want)
			})
			index := r.do(http.MethodPost, "/v2/repository/index", nil, nil, false)
			if !strings.Contains(string(index.body), c.want) {
				t.Errorf("the repository index does not tell the reason: %s", index.body)
			}
			if log := r.logs.String(); !strings.Contains(log, c.want) {
				t.Errorf("the log does not tell the reason: %s", log)
			}
			if got := r.predict(ask); got.Version != 1 || got.Forecasts[0].Error != nil || got.Forecasts[0].Point[0] != 10 {
				t.Errorf("version 1 no longer serves: %+v", got)
			}
			if got := r.do(http.MethodGet, "/v2/models/web/versions/2", nil, nil, false); got.status == http.StatusOK {
				t.Errorf("version 2 can be asked for by its number: %s", got.body)
			}
		})
	}
}
