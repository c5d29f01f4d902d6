package azure
import ("testing";"time";"os"; "github.com/flowehr/flowehr/internal/azuresim"; "fmt")
func TestFirst(t *testing.T) {
	began := time.Now()
	w := simulate(t, azuresim.Options{Seed: 1, Quiet: time.Millisecond})
	x := written(t, "minimal", "dev")
	w.takenForGranted(t, x)
	p := w.begin(t, x, &ear{}, life{})
	made, err := p.deploy(t.Context())
	if err != nil { t.Fatal(err) }
	fmt.Println(len(made.Steps), time.Since(began), p.network.calls.Load(), p.now().Sub(morning))
	p = w.begin(t, x, &ear{}, life{})
	made, err = p.deploy(t.Context())
	if err != nil || !made.Empty() { t.Fatal(err, changes(made)) }
	fmt.Println(time.Since(began), p.network.calls.Load())
	world, _ := w.remote.World(t.Context())
	os.WriteFile("/tmp/h/h10/world.json", world, 0o644)
	p = w.begin(t, x, &ear{}, life{})
	made, err = p.destroy(t.Context(), false)
	if err != nil { t.Fatal(err) }
	proof, err := p.target.Left(t.Context(), made, p.names())
	fmt.Println(time.Since(began), p.network.calls.Load(), proof.Left, err, w.sim.Leftovers(), w.sim.Summary().Deleted)
}
