package engine

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const crashPipeline = `{"variables":{"seen":{"type":"Array"},"n":{"type":"Integer"},"h":{"type":"Integer"}},"activities":[
	{"name":"First","type":"Touch","typeProperties":{}},
	{"name":"Loop","type":"ForEach","dependsOn":[{"activity":"First","dependencyConditions":["Succeeded"]}],
		"typeProperties":{"items":"@range(0,12)","batchCount":4,"activities":[
		{"name":"T","type":"Touch","typeProperties":{}},
		{"name":"Add","type":"AppendVariable","dependsOn":[{"activity":"T","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"variableName":"seen","value":"@item()"}}]}},
	{"name":"Round","type":"Until","dependsOn":[{"activity":"First","dependencyConditions":["Succeeded"]}],
		"typeProperties":{"expression":"@equals(variables('n'),5)","activities":[
		{"name":"U","type":"Touch","typeProperties":{}},
		{"name":"Copy","type":"SetVariable","dependsOn":[{"activity":"U","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"variableName":"h","value":"@add(variables('n'),1)"}},
		{"name":"Back","type":"SetVariable","dependsOn":[{"activity":"Copy","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"variableName":"n","value":"@variables('h')"}}]}},
	{"name":"Child","type":"ExecutePipeline","dependsOn":[{"activity":"Loop","dependencyConditions":["Succeeded"]},{"activity":"Round","dependencyConditions":["Succeeded"]}],
		"typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},"waitOnCompletion":true}}]}`

const crashChild = `{"activities":[{"name":"C1","type":"Touch","typeProperties":{}},
	{"name":"C2","type":"Touch","dependsOn":[{"activity":"C1","dependencyConditions":["Succeeded"]}],"typeProperties":{}},
	{"name":"Return","type":"SetVariable","dependsOn":[{"activity":"C2","dependencyConditions":["Succeeded"]}],
		"typeProperties":{"variableName":"pipelineReturnValue","setSystemVariable":true,"value":[{"key":"k","value":{"type":"Int","content":7}}]}}]}`

// crashWorld is a database without a worker, on a cluster.
func crashWorld(t *testing.T, c *cluster) (*world, string) {
	t.Helper()
	dsn := c.database(t)
	w := &world{t: t, pool: openPool(t, dsn)}
	w.store = NewStore(w.pool, nil, nil)
	if _, err := w.pool.Exec(context.Background(), "create table touched (id serial, run_id uuid, path text, pid int)"); err != nil {
		t.Fatal(err)
	}
	w.register("Child", crashChild)
	w.register("P", crashPipeline)
	return w, dsn
}

// worker starts an engine in a process of its own and returns when it takes work.
func worker(t *testing.T, dsn string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ENGINE_TEST_WORKER="+dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("worker said %q: %v", line, err)
	}
	return cmd
}

// checkOnce holds a finished database to the promises of the engine.
func (w *world) checkOnce(ids []string) {
	w.t.Helper()
	for _, id := range ids {
		if r := w.end(id); r.Status != "Succeeded" {
			w.t.Errorf("run %s: %s %s", id, r.Status, r.Message)
		}
		acts := w.activities(id)
		if got := encode(acts["/Child"].Output); !strings.HasSuffix(got, `"pipelineReturnValue":{"k":7}}`) {
			w.t.Errorf("child: %s", got)
		}
		seen := map[string]int{}
		changes, err := w.store.Variables(context.Background(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range changes {
			if c.Append {
				seen[encode(c.Value)]++
			}
		}
		if len(seen) != 12 {
			w.t.Errorf("appended %v", seen)
		}
		for v, n := range seen {
			if n != 1 {
				w.t.Errorf("%s was appended %d times", v, n)
			}
		}
		if acts["/Round"].Passes != 5 {
			w.t.Errorf("Until went round %d times, want 5", acts["/Round"].Passes)
		}
	}
	for name, query := range map[string]string{
		"ended twice": `select count(*) from (select run_id, path from engine.event where kind in ('Succeeded', 'Failed', 'Cancelled')
			group by 1, 2 having count(*) > 1) x`,
		"begun after success": `select count(*) from engine.event a join engine.event b using (run_id, path)
			where a.kind = 'Succeeded' and b.kind = 'Started' and b.seq > a.seq`,
		"called more often than begun": `select count(*) from (select run_id, path, count(*) n from touched group by 1, 2) t
			where n > (select count(*) from engine.event e where e.run_id = t.run_id and e.path = t.path and e.kind = 'Started')`,
		"succeeded without being called": `select count(*) from engine.event e where kind = 'Succeeded' and data ->> 'rows' = '1'
			and not exists (select from touched t where t.run_id = e.run_id and t.path = e.path)`,
		"runs not ended": `select count(*) from engine.run where ended_at is null`,
	} {
		var n int
		if err := w.pool.QueryRow(context.Background(), query).Scan(&n); err != nil {
			w.t.Fatal(err)
		}
		if n != 0 {
			w.t.Errorf("%s: %d", name, n)
		}
	}
}

func (w *world) beginMany(n int) (ids []string) {
	for range n {
		ids = append(ids, w.begin("P", ""))
	}
	return ids
}

func TestKilledWorkersLoseNothing(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	w, dsn := crashWorld(t, shared)
	ids := w.beginMany(6)
	for kill := range 6 {
		cmd := worker(t, dsn)
		// The moment of death is a random number of events later, not a time.
		w.untilEvents(w.events() + 5 + rand.IntN(60))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Logf("kill %d after %d events", kill+1, w.events())
	}
	worker(t, dsn)
	w.checkOnce(ids)
	var again int
	if err := w.pool.QueryRow(context.Background(), "select count(*) - count(distinct (run_id, path)) from touched").Scan(&again); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls were made again", again)
}

func (w *world) events() (n int) {
	if err := w.pool.QueryRow(context.Background(), "select count(*) from engine.event").Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) untilEvents(n int) {
	w.t.Helper()
	var done bool
	w.eventually(func() bool {
		_ = w.pool.QueryRow(context.Background(), "select (select count(*) from engine.event) >= $1 or not exists (select from engine.run where ended_at is null)", n).Scan(&done)
		return done
	})
}

// eventually polls what another process does.
func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			w.t.Fatal("waited for a minute in vain")
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestTwoWorkersShareRunsExactlyOnce(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	w, dsn := crashWorld(t, shared)
	worker(t, dsn)
	worker(t, dsn)
	ids := w.beginMany(30)
	w.checkOnce(ids)
	var workers, twice int
	if err := w.pool.QueryRow(context.Background(), `select count(distinct pid), count(*) - count(distinct (run_id, path)) from touched`).
		Scan(&workers, &twice); err != nil {
		t.Fatal(err)
	}
	if twice != 0 {
		t.Errorf("%d calls were made twice though nothing crashed", twice)
	}
	t.Logf("%d workers took part", workers)
}

// TestReplacedWorkerWritesNothing takes a run away from a living worker, as happens to one that hung.
func TestReplacedWorkerWritesNothing(t *testing.T) {
	entered, release := make(chan string, 8), make(chan struct{})
	w := newWorld(t, func(ctx context.Context, c Call) (Result, error) {
		entered <- c.RunID
		select {
		case <-release:
		case <-ctx.Done(): // a zombie does not listen
			<-release
		}
		return Result{}, nil
	})
	w.register("P", `{"activities":[{"name":"A","type":"Do","typeProperties":{}},
		{"name":"B","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{}}]}`)
	id := w.begin("P", "")
	<-entered
	ctx := context.Background()
	if _, err := w.pool.Exec(ctx, "update engine.run set owner = -1, epoch = epoch + 1 where id = $1", id); err != nil {
		t.Fatal(err)
	}
	before := w.events()
	close(release)
	// The run is nobody's now: the worker finds that out by its first write, and then it or another one claims it anew.
	r := w.end(id)
	if r.Status != "Succeeded" {
		t.Fatalf("got %s %s", r.Status, r.Message)
	}
	rows, err := w.pool.Query(ctx, "select epoch from engine.event where run_id = $1 and seq > $2 order by seq", id, before)
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range epochs {
		if e != 3 {
			t.Errorf("after the take-over there is an event of epoch %d", e)
		}
	}
	if n := len(w.activities(id)["/A"].Attempts); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

func TestDatabaseCrashInTheMiddle(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	c, err := newCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.remove)
	if err := c.template(); err != nil {
		t.Fatal(err)
	}
	w, dsn := crashWorld(t, c)
	ids := w.beginMany(5)
	worker(t, dsn)
	for range 2 {
		w.untilEvents(w.events() + 60)
		c.kill()
		if err := c.start(); err != nil {
			t.Fatal(err)
		}
		w.pool.Reset()
	}
	w.checkOnce(ids)
}

func TestMigrateRaces(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, shared.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("m%d", databases.Add(1))
	if _, err := conn.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}
	faults := make(chan error, 4)
	for range 4 {
		go func() {
			pool, err := pgxpool.New(ctx, shared.dsn(name))
			if err == nil {
				defer pool.Close()
				err = Migrate(ctx, pool)
			}
			faults <- err
		}()
	}
	for range 4 {
		if err := <-faults; err != nil {
			t.Error(err)
		}
	}
}
