package server

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/catalog"
)

func TestAModelThatIsThereAndCannotServeIsNotMissing(t *testing.T) {
	gone := fmt.Errorf("model %q version 2: %w", "web", models.ErrNoModel)
	if p := problemOf(&catalog.LoadError{Name: "web", Version: 2, Err: gone}); p.Status != http.StatusServiceUnavailable {
		t.Errorf("a champion whose files were deleted: %+v", p)
	}
	if p := problemOf(gone); p.Status != http.StatusNotFound {
		t.Errorf("a version that there is not: %+v", p)
	}
}
