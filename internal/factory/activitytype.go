package factory

import "strings"

// TypeKind says what sort of activity a type is.
type TypeKind int

// Kinds of activity types.
const (
	UnknownType TypeKind = iota
	ControlType          // the engine itself: branches, loops, variables, waiting
	WorkType             // runs where there is an implementation for it
	RefusedType          // exists in Azure and cannot run here
)

// KindOfType looks a type up among those of Data Factory, Synapse and Fabric (adf.md sections 1.6 and 1.7). Types are
// compared exactly, as the service does.
func KindOfType(name string) TypeKind {
	switch name {
	case "AppendVariable", "ExecutePipeline", "Fail", "Filter", "ForEach", "IfCondition", "SetVariable", "Switch", "Until", "Wait":
		return ControlType
	case "AzureFunctionActivity", "Copy", "Custom", "DatabricksJob", "DatabricksNotebook", "DatabricksSparkJar",
		"DatabricksSparkPython", "Delete", "GetMetadata", "Lookup", "Script", "SqlServerStoredProcedure", "Validation",
		"WebActivity", "WebHook":
		return WorkType
	case "AzureDataExplorerCommand", "AzureMLBatchExecution", "AzureMLExecutePipeline", "AzureMLUpdateResource",
		"DataLakeAnalyticsU-SQL", "ExecuteDataFlow", "ExecuteSSISPackage", "ExecuteWranglingDataflow", "HDInsightHive",
		"HDInsightMapReduce", "HDInsightPig", "HDInsightSpark", "HDInsightStreaming", "SparkJob", "SynapseNotebook",
		"SqlPoolStoredProcedure", "Email", "InvokePipeline", "KustoQueryLanguage", "MicrosoftTeams", "Office365Email",
		"PBISemanticModelRefresh", "RefreshDataflow", "SparkJobDefinition", "Teams", "TridentNotebook":
		return RefusedType
	}
	return UnknownType
}

// isContainer reports whether activities of the type hold bodies.
func isContainer(name string) bool {
	switch name {
	case "ForEach", "Until", "IfCondition", "Switch":
		return true
	}
	return false
}

// nearType is a known type that differs by case only, for a message.
func nearType(name string) string {
	for _, known := range []string{
		"AppendVariable", "ExecutePipeline", "Fail", "Filter", "ForEach", "IfCondition", "SetVariable", "Switch", "Until", "Wait",
		"Copy", "Custom", "DatabricksNotebook", "DatabricksSparkJar", "DatabricksSparkPython", "Delete", "GetMetadata", "Lookup",
		"Script", "SqlServerStoredProcedure", "Validation", "WebActivity", "WebHook",
	} {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return ""
}
