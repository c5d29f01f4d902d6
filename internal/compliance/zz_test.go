package compliance_test
import ("testing";"fmt";"slices";"maps"
"github.com/flowehr/flowehr/internal/compliance")
func TestZZ(t *testing.T){
 w:=ideal(); rs:=w.resources(t,specs(t))
 got:=results(t,compliance.Input{Environment:environment(),Resources:rs,State:state(rs),Live:w.live(t,specs(t)),At:at,Product:"test"})
 for _,k:=range slices.Sorted(maps.Keys(got)){ r:=got[k]; d:=""; if r.Deployed!=nil {d=string(r.Deployed.Status)}
  if r.Compiled.Status==compliance.Met && d=="met" {continue}
  fmt.Println(k,"|",r.Compiled.Status,"|",d,"|",r.Compiled.Why) }
}
