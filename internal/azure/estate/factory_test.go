package estate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/estate"
)

// onStore is a pipeline of one activity, which uses a table of the feature store and one of the lake.
func onStore(t *testing.T, activity string) flowehr.Pipeline {
	t.Helper()
	item := func(name, definition string) string {
		return fmt.Sprintf(`{"name":%q,"file":"transform/dataset/%s.json","definition":%s}`, name, name, definition)
	}
	datasets := []string{
		item("Features", `{"name":"Features","properties":{"type":"AzureSqlTable","linkedServiceName":{"referenceName":"FeatureStoreLinkedService","type":"LinkedServiceReference"},"typeProperties":{"schema":"ward","table":"beds"}}}`),
		item("Lake", `{"name":"Lake","properties":{"type":"AzureDatabricksDeltaLakeDataset","linkedServiceName":{"referenceName":"LakeLinkedService","type":"LinkedServiceReference"},"typeProperties":{"database":"gold","table":"beds"}}}`),
	}
	bundle := fmt.Sprintf(`{"dir":"transform/pipelines/store","project":"main","pipeline":{"name":"store","file":"transform/pipelines/store/pipeline.json",
		"definition":{"name":"store","properties":{"activities":[%s]}}},"triggers":[],"datasets":[%s],"linkedServices":[],"globals":{"hospital":"St Elsewhere"},"references":{}}`,
		activity, strings.Join(datasets, ","))
	return flowehr.Pipeline{Name: "store", Project: "main", Dir: "transform/pipelines/store", Bundle: []byte(bundle), Digest: digestOf("e")}
}

const (
	lookup = `{"name":"Look","type":"Lookup","typeProperties":{"source":{"type":"AzureSqlSource"},"dataset":{"referenceName":"Features","type":"DatasetReference"}}}`
	copies = `{"name":"Publish","type":"Copy","inputs":[{"referenceName":"Lake","type":"DatasetReference"}],"outputs":[{"referenceName":"Features","type":"DatasetReference"}],
		"typeProperties":{"source":{"type":"AzureDatabricksDeltaLakeSource"},"sink":{"type":"AzureSqlSink"}}}`
)

func has(resources []flowehr.Resource, kind, name string) bool {
	return slices.ContainsFunc(resources, func(r flowehr.Resource) bool { return r.Ref == azure.Ref(kind, name) })
}

// A factory that reads the feature store itself may read it, and has a way there that is approved before a trigger starts.
func TestFactoryThatReadsTheStore(t *testing.T) {
	e := whole()
	e.Pipelines = []flowehr.Pipeline{onStore(t, lookup)}
	names := azure.NamesOf(e)
	resources := lowered(t, e)
	reader := the[azure.SQLPrincipalSpec](t, resources, azure.KindSQLPrincipal, names.Factory())
	if !slices.Equal(reader.Roles, []string{"db_datareader"}) || reader.Group ||
		reader.ObjectID.String() != azure.Out(azure.Ref(azure.KindStack, "transform"), "factoryPrincipalId").String() {
		t.Errorf("the factory's user is %+v", reader)
	}
	approval := the[azure.ApprovalSpec](t, resources, azure.KindApproval, "store")
	if approval.Factory != names.Factory() || approval.Endpoint != "store" || !strings.HasSuffix(approval.Target, "/servers/"+names.SQLServer()) {
		t.Errorf("approved is %+v", approval)
	}
	transform := the[azure.StackSpec](t, resources, azure.KindStack, "transform")
	for _, want := range []string{names.Factory() + "/default/store", `"hospital":{"type":"String","value":"St Elsewhere"}`} {
		if !strings.Contains(string(transform.Template), want) {
			t.Errorf("%s is not in the template", want)
		}
	}
	for _, r := range resources {
		if r.Ref.Kind == azure.KindApproval && !slices.Contains(r.Needs, azure.Ref(azure.KindStack, "transform")) {
			t.Errorf("%s does not wait for its endpoint", r.Ref)
		}
		if r.Ref.Kind == azure.KindTrigger && !slices.Contains(r.Needs, azure.Ref(azure.KindApproval, "store")) {
			t.Errorf("%s does not wait for the way to the store", r.Ref)
		}
	}

	e.Pipelines = []flowehr.Pipeline{onStore(t, copies)} // a job of Databricks, which signs in as the writer
	resources = lowered(t, e)
	if has(resources, azure.KindSQLPrincipal, names.Factory()) || has(resources, azure.KindApproval, "store") {
		t.Error("a factory that does not read the store itself may do so")
	}
}

// With PostgreSQL jobs publish as the application that writes; the factory's own activities are refused.
func TestPipelinesOnAStoreOfPostgreSQL(t *testing.T) {
	e := whole()
	e.Store.Engine = "postgres"
	e.Pipelines = []flowehr.Pipeline{onStore(t, copies)}
	told := `\"store\":{\"engine\":\"postgres\",\"user\":\"` + azure.NamesOf(e).DataWriter() + `\"}`
	if !slices.ContainsFunc(lowered(t, e), func(r flowehr.Resource) bool {
		return r.Ref.Kind == azure.KindFile && strings.Contains(the[azure.FileSpec](t, []flowehr.Resource{r}, r.Ref.Kind, r.Ref.Name).Content, told)
	}) {
		t.Errorf("no job is told %s", told)
	}
	e.Pipelines = []flowehr.Pipeline{onStore(t, lookup)}
	_, found := estate.Lower(e, facts())
	if !slices.ContainsFunc(found, func(d flowehr.Diagnostic) bool {
		return d.Severity == flowehr.SeverityError && strings.Contains(d.Summary, `cannot read a feature store of engine "postgres"`)
	}) {
		t.Errorf("got %v", found)
	}
}

// GitHub tells the subject that an app's builds sign in with, and what environments share is taken down after their own.
func TestBuildsSignInAsGitHubSays(t *testing.T) {
	e := whole()
	resources := lowered(t, e)
	name := azure.NamesOf(e).AppCI("Bed_Board") + "/" + e.Name
	spec := the[azure.FederationSpec](t, resources, azure.KindFederation, name)
	want := azure.Out(azure.Ref(azure.KindGitHubDeployment, "Bed_Board/"+e.Name), azure.OutSubject)
	if spec.Subject.String() != want.String() {
		t.Errorf("subject is %s, want %s", spec.Subject, want)
	}
	needs := map[flowehr.Ref][]flowehr.Ref{}
	for _, r := range resources {
		needs[r.Ref] = r.Needs
	}
	var waits func(from, to flowehr.Ref) bool
	waits = func(from, to flowehr.Ref) bool {
		return slices.ContainsFunc(needs[from], func(n flowehr.Ref) bool { return n == to || waits(n, to) })
	}
	deployment := azure.Ref(azure.KindGitHubDeployment, "Bed_Board/"+e.Name)
	for _, shared := range []flowehr.Ref{azure.Ref(azure.KindRepository, "Bed_Board"), azure.Ref(azure.KindTeam, "Bed_Board - owners"),
		azure.Ref(azure.KindTeam, "Bed_Board - contributors"), azure.Ref(azure.KindRepositoryFile, "Bed_Board/CODEOWNERS")} {
		if _, made := needs[shared]; !made || !waits(deployment, shared) {
			t.Errorf("%s is not made after %s", deployment, shared)
		}
	}
}
