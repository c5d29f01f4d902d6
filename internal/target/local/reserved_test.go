package local

import (
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
)

func TestStandInMayNotTakeOverOurLogins(t *testing.T) {
	for _, tt := range []struct {
		user    flowehr.Text
		refused bool
	}{{"flowehr_reader", false}, {writerRole, true}, {groupApps, true}, {"postgres", true}, {"pg_monitor", true}} {
		t.Run(string(tt.user), func(t *testing.T) {
			env := &flowehr.Environment{Suffix: "e", Sources: []flowehr.Source{{Name: "epr", Kind: flowehr.SourcePostgreSQL, Username: tt.user}},
				Local: flowehr.Local{Synthetic: map[string]flowehr.Synthetic{"epr": {Patients: 1}}}}
			_, problems := (*Target)(nil).Lower(env)
			if got := flowehr.HasErrors(problems); got != tt.refused {
				t.Errorf("refused = %v, want %v: %v", got, tt.refused, problems)
			}
			if tt.refused && !strings.Contains(problems[0].Summary, string(tt.user)) {
				t.Errorf("%q does not name the user", problems[0].Summary)
			}
		})
	}
}
