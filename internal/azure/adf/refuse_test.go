package adf

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
)

// Parts of definitions.
const (
	onLake   = `"type":"Script","linkedServiceName":{"referenceName":"LakeLinkedService","type":"LinkedServiceReference"}`
	intoLake = `"outputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"gold","table":"t"}}]`
	fromLake = `"inputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"gold","table":"s"}}]`
	lakeSink = `"sink":{"type":"AzureDatabricksDeltaLakeSink"}`
	lakeSrc  = `"source":{"type":"AzureDatabricksDeltaLakeSource"}`
)

func copyOf(inputs, outputs, properties string) string {
	return `{"name":"C","type":"Copy",` + inputs + `,` + outputs + `,"typeProperties":{` + properties + `}}`
}

func input(dataset string) string {
	return `"inputs":[{"referenceName":"` + dataset + `","type":"DatasetReference"}]`
}

func scriptOf(properties string) string {
	return `{"name":"S",` + onLake + `,"typeProperties":{` + properties + `}}`
}

func TestWhatCannotBeExpressedIsRefusedWhereItStands(t *testing.T) {
	for _, c := range []struct{ name, activities, says, pointer string }{
		{"a type of Fabric", `{"name":"N","type":"TridentNotebook"}`, `is of type "TridentNotebook", which Data Factory does not have`, "/properties/activities/0/type"},
		{"a data flow", `{"name":"N","type":"ExecuteDataFlow","typeProperties":{}}`, "runs a data flow", "/properties/activities/0/type"},
		{"a loop in a loop", `{"name":"Outer","type":"ForEach","typeProperties":{"items":"@createArray()","activities":[{"name":"Inner","type":"Until","typeProperties":{"expression":"@true","activities":[]}}]}}`,
			`Until "Inner" is inside ForEach "Outer"`, "/properties/activities/0/typeProperties/activities/0"},
		{"a folder", copyOf(input("Folder"), intoLake, `"source":{"type":"JsonSource"},`+lakeSink), "is a folder of this machine", "/properties/linkedServiceName"},
		{"a linked service of this machine only", `{"name":"W","type":"WebActivity","linkedServiceName":{"referenceName":"mine","type":"LinkedServiceReference"},"typeProperties":{}}`,
			`linked service "mine" has no definition`, "/properties/activities/0/linkedServiceName"},
		{"a user name that is secret", `{"name":"L","type":"Lookup","typeProperties":{"source":{"type":"MySqlSource"},"dataset":{"referenceName":"Ward","type":"DatasetReference"}}}`,
			`user name of data source "ward" is a secret`, "/properties/linkedServiceName"},
		{"a script on PostgreSQL", `{"name":"S","type":"Script","linkedServiceName":{"referenceName":"epr","type":"LinkedServiceReference"},"typeProperties":{"scripts":[]}}`,
			"runs scripts on SQL Server only", "/properties/activities/0/linkedServiceName"},
		{"assertions elsewhere", `{"name":"S","type":"Script","linkedServiceName":{"referenceName":"dw","type":"LinkedServiceReference"},"typeProperties":{"assertions":[]}}`,
			"assertions are about tables of the lake", "/properties/activities/0/typeProperties/assertions"},
		{"statements made in the run", scriptOf(`"scripts":[{"type":"NonQuery","text":"DELETE FROM gold.@{pipeline().parameters.from}"}]`),
			"the text of the statements is put together in the run", "/properties/activities/0/typeProperties/scripts/0/text"},
		{"a statement that the lake does not run", scriptOf(`"scripts":[{"type":"NonQuery","text":"SELECT 1; MERGE INTO gold.t USING x"}]`),
			"statement 2 (line 1): MERGE is not run on the lake", "/properties/activities/0/typeProperties/scripts/0/text"},
		{"a text in double quotes", scriptOf(`"scripts":[{"type":"Query","text":"SELECT \"a\""}]`), "double quotes", "/properties/activities/0/typeProperties/scripts/0/text"},
		{"a parameter that is not given", scriptOf(`"scripts":[{"type":"Query","text":"SELECT @a"}]`), "@a: parameter is not given", "/properties/activities/0/typeProperties/scripts/0/text"},
		{"a parameter that comes back", scriptOf(`"scripts":[{"type":"Query","text":"SELECT 1","parameters":[{"name":"a","type":"String","direction":"Output"}]}]`),
			"direction Output", "/properties/activities/0/typeProperties/scripts/0/parameters/0/direction"},
		{"a secure parameter", scriptOf(`"scripts":[{"type":"Query","text":"SELECT @a","parameters":[{"name":"a","type":"String","value":"@concat('x', pipeline().parameters.SECRET)"}]}]`),
			`passes the secure parameter "secret"`, "/properties/activities/0"},
		{"secure input", `{"name":"S",` + onLake + `,"policy":{"secureInput":true},"typeProperties":{"scripts":[{"type":"Query","text":"SELECT @a","parameters":[{"name":"a","type":"String","value":"@pipeline().RunId"}]}]}}`,
			"has secure input", "/properties/activities/0/policy/secureInput"},
		{"a script of nothing", scriptOf(``), "neither scripts nor assertions", "/properties/activities/0/typeProperties"},
		{"an unknown setting", scriptOf(`"scripts":[{"type":"Query","text":"SELECT 1"}],"turbo":true`), `"turbo" is not supported`, "/properties/activities/0/typeProperties/turbo"},
		{"an assertion of two kinds", scriptOf(`"assertions":[{"table":"gold.t","unique":["a"],"not_null":["a"]}]`), "has both not_null and unique", "/properties/activities/0/typeProperties/assertions/0"},
		{"an assertion of none", scriptOf(`"assertions":[{"table":"gold.t"}]`), "has none of rows", "/properties/activities/0/typeProperties/assertions/0"},
		{"an assertion about an expression", scriptOf(`"assertions":[{"table":"@pipeline().RunId","unique":["a"]}]`), "has to be known when the pipeline is deployed", "/properties/activities/0/typeProperties/assertions/0/table"},
		{"an assertion that is a write", scriptOf(`"assertions":[{"sql":"DELETE FROM gold.t"}]`), "not one SELECT", "/properties/activities/0/typeProperties/assertions/0/sql"},
		{"a table that is none", scriptOf(`"assertions":[{"table":"gold.t; drop","unique":["a"]}]`), "must be a table as zone.table", "/properties/activities/0/typeProperties/assertions/0/table"},
		{"an output that a job does not have", scriptOf(`"scripts":[{"type":"Query","text":"SELECT 1"}]`) +
			`,{"name":"W","type":"Wait","dependsOn":[{"activity":"S"}],"typeProperties":{"waitTimeInSeconds":{"value":"@activity('S').output.recordsAffected","type":"Expression"}}}`,
			`reads the output of "S"`, "/properties/activities/1/typeProperties/waitTimeInSeconds/value"},
		{"the whole of a job", scriptOf(`"scripts":[{"type":"Query","text":"SELECT 1"}]`) +
			`,{"name":"F","type":"Fail","dependsOn":[{"activity":"S"}],"typeProperties":{"message":"@{string(activity('S'))}","errorCode":"1"}}`, `reads the output of "S"`, "/properties/activities/1/typeProperties/message"},
		{"a copy to files", copyOf(fromLake, `"outputs":[{"referenceName":"Csv","type":"DatasetReference"}]`, lakeSrc+`,"sink":{"type":"DelimitedTextSink"}`),
			"a copy from the lake to", "/properties/activities/0/typeProperties/sink"},
		{"a statement before the copy", copyOf(input("Dw"), intoLake, `"source":{"type":"SqlServerSource"},"sink":{"type":"AzureDatabricksDeltaLakeSink","preCopyScript":"UPDATE gold.t SET a = 1"}`),
			"preCopyScript may only empty gold.t", "/properties/activities/0/typeProperties/sink/preCopyScript"},
		{"a source of another server", copyOf(input("Dw"), intoLake, `"source":{"type":"PostgreSqlV2Source"},`+lakeSink), `type "PostgreSqlV2Source" cannot read dataset "Dw"`, "/properties/activities/0/typeProperties/source/type"},
		{"a common table expression on SQL Server", copyOf(input("Dw"), intoLake, `"source":{"type":"SqlServerSource","sqlReaderQuery":"WITH a AS (SELECT 1) SELECT * FROM a"},`+lakeSink),
			"takes no WITH", "/properties/activities/0/typeProperties/source/sqlReaderQuery"},
		{"a query on the lake that is made in the run", copyOf(fromLake, intoLake, `"source":{"type":"AzureDatabricksDeltaLakeSource","query":"@concat('select ', '1')"},`+lakeSink),
			"is put together in the run", "/properties/activities/0/typeProperties/source/query"},
		{"JSON without a mapping", copyOf(input("Lines"), intoLake, `"source":{"type":"JsonSource"},`+lakeSink), "reads JSON without a mapping", "/properties/activities/0/typeProperties"},
		{"rows within a document", copyOf(input("Lines"), intoLake, `"source":{"type":"JsonSource"},`+lakeSink+`,"translator":{"collectionReference":"$['entry']","mappings":[]}`),
			"rows within a document", "/properties/activities/0/typeProperties/translator/collectionReference"},
		{"overwriting what only Data Factory writes", copyOf(input("Csv"), `"outputs":[{"referenceName":"Dw","type":"DatasetReference"}]`, `"source":{"type":"DelimitedTextSource"},"sink":{"type":"SqlServerSink","writeBehavior":"overwrite"}`),
			"has no writeBehavior overwrite", "/properties/activities/0/typeProperties/sink/writeBehavior"},
		{"a placeholder", `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":"[parameters('w')]"}}`, "is a placeholder of another template", "/properties/activities/0/typeProperties/waitTimeInSeconds"},
		{"a name by an expression", `{"name":"W","type":"WebActivity","linkedServiceName":{"referenceName":"@pipeline().RunId","type":"LinkedServiceReference"},"typeProperties":{}}`, "a reference is an expression", "/properties/activities/0/linkedServiceName"},
		{"a runtime of its own", `{"name":"W","type":"WebActivity","typeProperties":{"connectVia":{"referenceName":"onprem","type":"IntegrationRuntimeReference"}}}`, `integration runtime "onprem" is not made here`, "/properties/activities/0/typeProperties/connectVia"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ds := Lower(bundle(t, "p", c.activities), options())
			for _, d := range ds {
				if d.Severity == flowehr.SeverityError && strings.Contains(d.Summary, c.says) {
					if d.Pointer != c.pointer {
						t.Errorf("said at %s, want %s", d.Pointer, c.pointer)
					}
					return
				}
			}
			t.Errorf("not said: %+v", ds)
		})
	}
}

func TestSecretsInClearTextAreRefusedAndNotRepeated(t *testing.T) {
	const canary = "c4nary-v4lue"
	for name, properties := range map[string]string{
		"a password":          `{"server":"x","password":"` + canary + `"}`,
		"a secure string":     `{"password":{"type":"SecureString","value":"` + canary + `"}}`,
		"a connection string": `{"connectionString":"Server=x;User ID=u;Password=` + canary + `"}`,
		"within":              `{"a":{"b":[{"accountKey":"` + canary + `"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := bundle(t, "p", `{"name":"W","type":"WebActivity","linkedServiceName":{"referenceName":"s","type":"LinkedServiceReference"},"typeProperties":{}}`)
			b.LinkedServices = map[string]factory.LinkedService{}
			b.LinkedServices["s"], _ = factory.DecodeLinkedService("s", "linkedService/s.json", raw(t, `{"properties":{"type":"X","typeProperties":`+properties+`}}`))
			_, ds := Lower(b, options())
			if !flowehr.HasErrors(ds) || strings.Contains(text(t, ds), canary) || !strings.Contains(ds[0].Detail, "AzureKeyVaultSecret") {
				t.Errorf("%+v", ds)
			}
		})
	}
	b := bundle(t, "p", `{"name":"W","type":"WebActivity","linkedServiceName":{"referenceName":"s","type":"LinkedServiceReference"},"typeProperties":{}}`)
	b.LinkedServices = map[string]factory.LinkedService{}
	b.LinkedServices["s"], _ = factory.DecodeLinkedService("s", "s.json", raw(t, `{"properties":{"type":"X","typeProperties":{"password":{"type":"AzureKeyVaultSecret","secretName":"a",
		"store":{"referenceName":"KVLinkedServiceViaMSI","type":"LinkedServiceReference"}},"connectionString":"Server=x;Password=@{linkedService().p}"}}}`))
	if r := lowered(t, b, options()); r.Resources["linkedService_s"].DependsOn[0] != "vault" {
		t.Errorf("%+v", r.Resources["linkedService_s"])
	}
}

func TestTriggers(t *testing.T) {
	const wait = `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":1}}`
	pipelines := `"pipelines":[{"pipelineReference":{"referenceName":"p","type":"PipelineReference"}}]`
	pipeline := `"pipeline":{"pipelineReference":{"referenceName":"p","type":"PipelineReference"},"parameters":{"from":"@trigger().outputs.windowStartTime"}}`
	tumbling := `{"frequency":"Hour","interval":1,"startTime":"2026-01-01T00:00:00Z","maxConcurrency":1}`
	for _, c := range []struct{ name, trigger, want, says string }{
		{"schedule", `{"name":"s","properties":{"runtimeState":"Started","type":"ScheduleTrigger","typeProperties":{"recurrence":{"frequency":"Day","interval":1,"startTime":"2026-01-01T00:00:00","timeZone":"GMT Standard Time"}},` + pipelines + `}}`, "s", ""},
		{"tumbling", `{"name":"t","properties":{"runtimeState":"Started","type":"TumblingWindowTrigger","typeProperties":` + tumbling + `,` + pipeline + `}}`, "t", ""},
		{"tumbling without a name", `{"properties":{"runtimeState":"Started","type":"TumblingWindowTrigger","typeProperties":` + tumbling + `,` + pipeline + `}}`, "TumblingWindowTriggerp", ""},
		{"blobs", `{"name":"b","properties":{"runtimeState":"Started","type":"BlobEventsTrigger","typeProperties":{"scope":"/x","events":["Microsoft.Storage.BlobCreated"],"blobPathBeginsWith":"/a/blobs/"},` + pipelines + `}}`, "b", ""},
		{"events", `{"name":"e","properties":{"runtimeState":"Started","type":"CustomEventsTrigger","typeProperties":{"scope":"/x","events":["a"]},` + pipelines + `}}`, "e", ""},
		{"another type", `{"name":"x","properties":{"type":"ChainingTrigger","typeProperties":{},` + pipelines + `}}`, "", "which is not deployed"},
		{"a time zone of the internet", `{"name":"s","properties":{"type":"ScheduleTrigger","typeProperties":{"recurrence":{"frequency":"Day","interval":1,"startTime":"2026-01-01T00:00:00","timeZone":"Europe/London"}},` + pipelines + `}}`, "", "Windows only"},
		{"windows that are too short", `{"name":"t","properties":{"type":"TumblingWindowTrigger","typeProperties":{"frequency":"Minute","interval":1,"startTime":"2026-01-01T00:00:00Z","maxConcurrency":1},` + pipeline + `}}`, "", "windows of 1 minutes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			r, ds := Lower(bundle(t, "p", wait, c.trigger), o)
			if c.says != "" {
				if !strings.Contains(text(t, ds), c.says) {
					t.Errorf("%+v", ds)
				}
				return
			}
			if flowehr.HasErrors(ds) || len(r.Triggers) != 1 || r.Triggers[0].Name != c.want || r.Triggers[0].Started {
				t.Fatalf("%+v %+v", r.Triggers, ds)
			}
			resource := r.Resources["trigger_"+c.want]
			if strings.Contains(text(t, resource), "runtimeState") || resource.DependsOn[0] != "pipeline_p" {
				t.Errorf("%s", text(t, resource))
			}
			for _, p := range problems(t, r) {
				t.Error(p)
			}
			o.RealData = true
			if r = lowered(t, bundle(t, "p", wait, c.trigger), o); !r.Triggers[0].Started {
				t.Error("it is not started with real data")
			}
			changed := lowered(t, bundle(t, "p", wait, strings.Replace(c.trigger, "2026-01-01", "2026-01-02", 1)), o)
			if strings.Contains(c.trigger, "2026-01-01") == (changed.Triggers[0].Digest == r.Triggers[0].Digest) {
				t.Error("the digest does not follow the definition")
			}
		})
	}
}

func TestDashboardsShowTheirOwnPipeline(t *testing.T) {
	r := lowered(t, bundle(t, "it's mine", `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":1}}`), options())
	var found bool
	for symbol, resource := range r.Resources {
		if !strings.HasPrefix(symbol, dashboardPrefix) {
			continue
		}
		found = true
		body := string(canonical(resource.Properties))
		for _, want := range []string{`"name":"PipelineSucceededRuns"`, `"name":"PipelineFailedRuns"`, `"key":"Name","operator":0,"values":["it's mine"]`,
			`'it\\'s mine/rows_updated', 'it\\'s mine/rows_inserted'`, `table_name`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s is not in %s", want, body)
			}
		}
		if resource.Tags["hidden-title"] != "Pipeline it's mine" || resource.Tags["environment"] != "test" {
			t.Errorf("tags %v", resource.Tags)
		}
	}
	if !found {
		t.Error("there is no dashboard")
	}
	o := options()
	o.AppInsightsID = ""
	if r := lowered(t, bundle(t, "p", `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":1}}`), o); len(r.Resources) != 1 {
		t.Error("there is a dashboard without telemetry")
	}
}

func TestDashboardNamesFitAndDiffer(t *testing.T) {
	fits := regexp.MustCompile(`^[a-zA-Z0-9-]{3,24}$`)
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		pipeline := rapid.StringN(1, 60, -1).Draw(t, "pipeline")
		name := DashboardName(pipeline)
		if !fits.MatchString(name) {
			t.Fatalf("%q gives %q", pipeline, name)
		}
		if other, ok := seen[name]; ok && other != pipeline {
			t.Fatalf("%q and %q are both called %q", pipeline, other, name)
		}
		seen[name] = pipeline
	})
}

func TestSymbolsAreIdentifiersAndDiffer(t *testing.T) {
	fits := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(1, 30, -1).Draw(t, "a"), rapid.StringN(1, 30, -1).Draw(t, "b")
		if x, y := symbol("p_", a), symbol("p_", b); !fits.MatchString(x) || (x == y) != (a == b) {
			t.Fatalf("%q and %q are %s and %s", a, b, x, y)
		}
	})
}

func TestLinkedServicesOfSources(t *testing.T) {
	lookup := func(dataset, source string) string {
		return `{"name":"L","type":"Lookup","typeProperties":{"source":{"type":"` + source + `"},"dataset":{"referenceName":"` + dataset + `","type":"DatasetReference"}}}`
	}
	r := lowered(t, bundle(t, "p", lookup("Dw", "SqlServerSource")), options())
	got := string(canonical(r.Resources["linkedService_dw"].Properties))
	for _, want := range []string{`"server":"dw.test,1444"`, `"encrypt":"mandatory"`, `"trustServerCertificate":false`, `"userName":"reader"`, `"type":"SqlServer"`,
		`"secretName":"source-dw-password"`, `"referenceName":"KVLinkedServiceViaMSI"`, `"referenceName":"FlowEHRIntegrationRuntime"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, "${DW}") {
		t.Error("the password is in the template")
	}
	o := options()
	o.Sources[1].Peering = &flowehr.Peering{Network: "n", Group: "g"}
	_, ds := Lower(bundle(t, "p", lookup("Dw", "SqlServerSource")), o)
	if len(ds) != 1 || ds[0].Severity != flowehr.SeverityWarning || !strings.Contains(ds[0].Summary, "peered network") {
		t.Errorf("%+v", ds)
	}
	lake := lowered(t, bundle(t, "p", `{"name":"L","type":"Lookup","typeProperties":{"source":{"type":"AzureDatabricksDeltaLakeSource","query":"SELECT 'it''s' AS a"},
		"dataset":{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"gold","table":"t"}}}}`), options())
	if got := string(canonical(lake.Resources["linkedService_LakeLinkedService"].Properties)); !strings.Contains(got, `"clusterId":"0101-000000-abc"`) {
		t.Errorf("%s", got)
	}
	if got := string(canonical(lake.Resources["pipeline_p"].Properties)); !strings.Contains(got, `SELECT 'it\\'s' AS a`) {
		t.Errorf("%s", got)
	}
}

func TestTriggersWaitForTriggers(t *testing.T) {
	const wait = `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":1}}`
	tumbling := func(name, pipeline, on string) string {
		return `{"name":"` + name + `","properties":{"type":"TumblingWindowTrigger","pipeline":{"pipelineReference":{"referenceName":"` + pipeline + `","type":"PipelineReference"}},
			"typeProperties":{"frequency":"Hour","interval":1,"startTime":"2026-01-01T00:00:00Z","maxConcurrency":1,"dependsOn":[` + on + `]}}}`
	}
	on := `{"type":"TumblingWindowTriggerDependencyReference","referenceTrigger":{"referenceName":"first","type":"TriggerReference"}},
		{"type":"SelfDependencyTumblingWindowTriggerReference","offset":"-01:00:00"}`
	second := bundle(t, "b", wait, tumbling("second", "b", on))
	r, ds := LowerAll([]factory.Bundle{bundle(t, "a", wait, tumbling("first", "a", "")), second}, options())
	if len(ds) > 0 || !slices.Equal(r.Resources["trigger_second"].DependsOn, []string{"pipeline_b", "trigger_first"}) {
		t.Errorf("%v %+v", r.Resources["trigger_second"].DependsOn, ds)
	}
	for _, p := range problems(t, r) {
		t.Error(p)
	}
	if _, ds := LowerAll([]factory.Bundle{second}, options()); len(ds) != 1 || !strings.Contains(ds[0].Summary, `trigger "second" depends on a trigger that is not here`) {
		t.Errorf("%+v", ds)
	}
}
