package factory

import (
	"os"
	"strings"
	"testing"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// TestEveryTypeOfTheSchemaIsKnown lists the discriminators of Data Factory's schema, so that none is called unknown that
// is only refused.
func TestEveryTypeOfTheSchemaIsKnown(t *testing.T) {
	names := strings.Fields(`AppendVariable ExecutePipeline Fail Filter ForEach IfCondition SetVariable Switch Until Validation Wait WebHook
		AzureDataExplorerCommand AzureFunctionActivity AzureMLBatchExecution AzureMLExecutePipeline AzureMLUpdateResource Copy Custom
		DatabricksNotebook DatabricksSparkJar DatabricksSparkPython DataLakeAnalyticsU-SQL Delete ExecuteDataFlow ExecuteSSISPackage
		GetMetadata HDInsightHive HDInsightMapReduce HDInsightPig HDInsightSpark HDInsightStreaming Lookup Script SparkJob
		SqlServerStoredProcedure SynapseNotebook WebActivity ExecuteWranglingDataflow`)
	if len(names) != 39 {
		t.Fatalf("the schema has 39 types, the list %d", len(names))
	}
	for _, name := range append(names, "DatabricksJob", "SqlPoolStoredProcedure", "TridentNotebook") {
		if KindOfType(name) == UnknownType {
			t.Errorf("type %s is not in the table", name)
		}
	}
	for _, file := range corpus(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := expr.NewObject()
		if err := raw.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		if _, pipeline := first(raw, "properties").(*expr.Object).Get("activities"); !pipeline {
			continue
		}
		p, _ := DecodePipeline("p", file, raw)
		Walk(p.Activities, func(a Activity, _ []Activity) {
			if KindOfType(a.Type) == UnknownType {
				t.Errorf("%s: activity %s has the unknown type %s", file, a.Name, a.Type)
			}
		})
	}
}
