package models

import (
	"encoding/json"
	"math"
	"testing"
)

func TestAnUndefinedMeasureIsNullInJSONAndNaNInMemory(t *testing.T) {
	pinball := 0.25
	text, err := json.Marshal(Score{MAE: 1.5, RMSE: 2, R2: math.NaN(), MAPE: math.NaN(), Accuracy: math.NaN(), WAPE: 0.5, MASE: 0.75, Skill: -0.5, Pinball: &pinball})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"mae":1.5,"rmse":2,"r2":null,"mape":null,"accuracy":null,"wape":0.5,"mase":0.75,"skill":-0.5,"pinball":0.25}`
	if string(text) != want {
		t.Fatalf("got  %s\nwant %s", text, want)
	}
	var back Score
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.MAE != 1.5 || back.Skill != -0.5 || !math.IsNaN(back.R2) || !math.IsNaN(back.Accuracy) || back.Pinball == nil || *back.Pinball != 0.25 || back.Coverage80 != nil {
		t.Fatalf("read back as %+v", back)
	}
}

func TestAScoreWrittenBeforeAMeasureExistedReadsItAsUndefined(t *testing.T) {
	var s Score
	if err := json.Unmarshal([]byte(`{"mae":1,"rmse":1,"r2":1,"mape":1,"accuracy":99,"wape":1,"mase":1}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.MAE != 1 || !math.IsNaN(s.Skill) || s.Coverage80 != nil {
		t.Errorf("read as %+v", s)
	}
}

func TestAnInfiniteMeasureIsAnError(t *testing.T) {
	if text, err := json.Marshal(Score{MASE: math.Inf(1)}); err == nil {
		t.Fatalf("wrote %s", text)
	}
}
