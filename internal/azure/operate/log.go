package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	workspace, run, err := jobOf(out.Address)
	if err != nil {
		return l, err
	}
	if id, err := strconv.ParseInt(strings.Trim(string(bytes.TrimSpace(out.Run)), `"`), 10, 64); err == nil {
		run = id
	}
	err = f.printed(ctx, cloud.Databricks(workspace), run, &l)
	if cloud.NotFound(err) || cloud.Status(err) == 400 {
		l.Missing = "Databricks does not have the job any more; it keeps them for 60 days"
		return l, nil
	}
	return l, err
}

// runPage matches the end of a job's address: #job/12/run/34, or /jobs/12/runs/34.
var runPage = regexp.MustCompile(`(?:#job/\d+/run/|/jobs/\d+/runs/|#/?jobs/\d+/runs/)(\d+)`)

// jobOf takes workspace and run from the address of a job. Only addresses of Databricks in Azure get its token.
func jobOf(address string) (string, int64, error) {
	u, err := url.Parse(address)
	m := runPage.FindStringSubmatch(address)
	if err != nil || u.Scheme != "https" || m == nil {
		return "", 0, fmt.Errorf("%q is not the address of a job of Databricks", address)
	}
	if !strings.HasSuffix(u.Hostname(), ".azuredatabricks.net") {
		return "", 0, fmt.Errorf("the job is at %s, which is not Databricks in Azure", u.Hostname())
	}
	run, err := strconv.ParseInt(m[1], 10, 64)
	return "https://" + u.Host, run, err
}

// printed reads what the tasks of a job printed. A job that Data Factory submits has one.
func (f *Factory) printed(ctx context.Context, s cloud.Service, run int64, l *Log) error {
	var job struct {
		Tasks []struct {
			Run int64 `json:"run_id"`
		} `json:"tasks"`
	}
	if err := f.client.Get(ctx, s, fmt.Sprintf("/api/2.1/jobs/runs/get?run_id=%d", run), &job); err != nil {
		return err
	}
	tasks := []int64{run}
	for i, t := range job.Tasks {
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
