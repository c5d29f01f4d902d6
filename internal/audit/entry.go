package audit

// Entry is one thing that somebody did, or tried to do. Who is a person ("ada@ward-laptop") or a workload identity
// ("pipeline:gold-features"); an entry without Who is refused.
type Entry struct {
	Who     string            `json:"who"`
	Action  string            `json:"action"`            // verb phrase with dots, e.g. "pipeline.run", "lake.preview", "secret.set"
	Subject string            `json:"subject,omitempty"` // what it was done to, e.g. "pipeline/gold-features"
	Project string            `json:"project,omitempty"`
	Outcome string            `json:"outcome"` // "ok", "failed" or "refused"
	Detail  map[string]string `json:"detail,omitempty"`
}
