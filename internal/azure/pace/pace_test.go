package pace_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azure/pace"
)

// TestFiguresAgreeWithTheCollected holds the table to the collection of published figures that it was made from.
func TestFiguresAgreeWithTheCollected(t *testing.T) {
	dir := cmp.Or(os.Getenv("FLOWEHR_TEST_DATA"), "../../../../shared/data")
	data, err := os.ReadFile(filepath.Join(dir, "azure-latency.json"))
	if err != nil {
		t.Skipf("no collected figures here: %v", err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for typ, entry := range entries {
		var want struct {
			Seconds []int  `json:"s"`
			Source  string `json:"src"`
		}
		if typ == "_note" {
			continue
		}
		if err := json.Unmarshal(entry, &want); err != nil || len(want.Seconds) != 2 {
			t.Fatalf("%s: %s: %v", typ, entry, err)
		}
		typical, longest, published := pace.Of(typ)
		wantTypical := time.Duration(want.Seconds[0]+want.Seconds[1]) * time.Second / 2
		if wantLongest := time.Duration(want.Seconds[1]) * time.Second; typical != wantTypical || longest != wantLongest || published != (want.Source != "") {
			t.Errorf("%s: got %v, %v, published %v; collected %s", typ, typical, longest, published, entry)
		}
		compared++
	}
	if compared < 28 {
		t.Errorf("compared %d types, want all 28 of the collection", compared)
	}
}

func TestOf(t *testing.T) {
	if typical, longest, published := pace.Of("MICROSOFT.KeyVault/Vaults"); typical != 79500*time.Millisecond || longest != 129*time.Second || !published {
		t.Errorf("case must not matter: %v, %v, %v", typical, longest, published)
	}
	if pace.Source("Microsoft.KeyVault/vaults") == "" || pace.Source("Microsoft.Sql/servers") != "" {
		t.Error("a published figure has no source, or an estimate has one")
	}
	for _, typ := range []string{"Microsoft.Nobody/knows", "Microsoft.Sql/servers", pace.Ready, pace.DeleteRetries} {
		if typical, longest, _ := pace.Of(typ); typical <= 0 || longest < typical {
			t.Errorf("%s: typical %v, longest %v", typ, typical, longest)
		}
	}
}
