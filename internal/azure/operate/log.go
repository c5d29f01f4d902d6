package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Log is what can be read of an activity.
type Log struct {
	Activity  Activity
	Text      string // what a job of Databricks printed
	Trace     string // of the error that ended it
	Truncated bool
	Address   string // where the job can be looked at
	Missing   string // why there is no text, when there should be
}

// Log reads the log of an activity's attempt: of a job of Databricks what it printed, of everything else there is only what the
// service itself keeps, input, output and error.
func (f *Factory) Log(ctx context.Context, a Activity) (Log, error) {
	l := Log{Activity: a}
	if !strings.HasPrefix(a.Type, "Databricks") {
		return l, nil
	}
	var out struct {
		Address string          `json:"runPageUrl"`
		Run     json.RawMessage `json:"runId"`
	}
	if len(a.Output) > 0 {
		if err := json.Unmarshal(a.Output, &out); err != nil {
			return l, fmt.Errorf("output of %s: %w", a.Name, err)
		}
	}
	l.Address = out.Address
	if out.Address == "" {
		l.Missing = "the job has not begun"
		return l, nil
	}
	j, err := jobOf(out.Address)
	if err != nil {
		return l, err
	}
	if id, err := strconv.ParseInt(strings.Trim(string(bytes.TrimSpace(out.Run)), `"`), 10, 64); err == nil {
		j.run, j.certain = id, true
	}
	err = f.printed(ctx, j, &l)
	if cloud.NotFound(err) || cloud.Status(err) == http.StatusBadRequest {
		l.Missing = "Databricks does not have the job any more; it keeps them for 60 days"
		return l, nil
	}
	return l, err
}

// job is a job of Databricks as its address tells it.
type job struct {
	workspace string
	id, run   int64
	certain   bool // run is the id of the run, not its number within the job
}

// runPage matches the end of a job's address: #job/12/run/34, or /jobs/12/runs/34.
var runPage = regexp.MustCompile(`(?:#job/(\d+)/run/|/jobs/(\d+)/runs/)(\d+)`)

// jobOf reads the address of a job. Only addresses of Databricks in Azure get its token.
func jobOf(address string) (job, error) {
	u, err := url.Parse(address)
	m := runPage.FindStringSubmatch(address)
	if err != nil || u.Scheme != "https" || m == nil {
		return job{}, fmt.Errorf("%q is not the address of a job of Databricks", address)
	}
	if !strings.HasSuffix(u.Hostname(), ".azuredatabricks.net") {
		return job{}, fmt.Errorf("the job is at %s, which is not Databricks in Azure", u.Hostname())
	}
	j := job{workspace: "https://" + u.Host}
	id, idErr := strconv.ParseInt(m[1]+m[2], 10, 64)
	run, runErr := strconv.ParseInt(m[3], 10, 64)
	j.id, j.run = id, run
	return j, errors.Join(idErr, runErr)
}

// runJSON is a run of a job as Databricks has it.
type runJSON struct {
	ID     int64 `json:"run_id"`
	Job    int64 `json:"job_id"`
	Number int64 `json:"number_in_job"`
	Tasks  []struct {
		Run int64 `json:"run_id"`
	} `json:"tasks"`
}

// find reads the run of a job. In older addresses the last number is that of the run within its job, so a run of that id may be
// another job's.
func (f *Factory) find(ctx context.Context, s cloud.Service, j job) (runJSON, error) {
	var r runJSON
	err := f.client.Get(ctx, s, fmt.Sprintf("/api/2.1/jobs/runs/get?run_id=%d", j.run), &r)
	if j.certain || err == nil && (r.Job == j.id || r.Job == 0) {
		return r, err
	}
	if err != nil && !cloud.NotFound(err) && cloud.Status(err) != http.StatusBadRequest {
		return r, err
	}
	var list struct {
		Runs []runJSON `json:"runs"`
	}
	if lerr := f.client.Get(ctx, s, fmt.Sprintf("/api/2.1/jobs/runs/list?job_id=%d&run_type=SUBMIT_RUN&expand_tasks=true&limit=25", j.id), &list); lerr != nil {
		return r, lerr
	}
	for _, r := range list.Runs {
		if r.Number == j.run || len(list.Runs) == 1 {
			return r, nil
		}
	}
	return r, &cloud.Error{Service: s.Name, Method: http.MethodGet, Path: "/api/2.1/jobs/runs/list", Status: http.StatusNotFound}
}

// printed reads what the tasks of a job printed. A job that Data Factory submits has one.
func (f *Factory) printed(ctx context.Context, j job, l *Log) error {
	s := cloud.Databricks(j.workspace)
	r, err := f.find(ctx, s, j)
	if err != nil {
		return err
	}
	tasks := []int64{r.ID}
	for i, t := range r.Tasks {
		if i == 0 {
			tasks = nil
		}
		tasks = append(tasks, t.Run)
	}
	var text, trace []string
	for _, t := range tasks {
		var out struct {
			Logs      string `json:"logs"`
			Truncated bool   `json:"logs_truncated"`
			Error     string `json:"error"`
			Trace     string `json:"error_trace"`
			Notebook  struct {
				Result string `json:"result"`
			} `json:"notebook_output"`
		}
		if err := f.client.Get(ctx, s, fmt.Sprintf("/api/2.1/jobs/runs/get-output?run_id=%d", t), &out); err != nil {
			return err
		}
		l.Truncated = l.Truncated || out.Truncated
		for _, s := range []string{out.Logs, out.Notebook.Result} {
			if s != "" {
				text = append(text, s)
			}
		}
		for _, s := range []string{out.Error, out.Trace} {
			if s != "" {
				trace = append(trace, s)
			}
		}
	}
	l.Text, l.Trace = strings.Join(text, "\n"), strings.Join(trace, "\n")
	return nil
}
