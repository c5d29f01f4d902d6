package adf

import (
	"strings"

	"github.com/flowehr/flowehr/internal/azure/arm"
)

// Types of the tiles of a dashboard in the portal.
const (
	chartPart = "Extension/HubsExtension/PartType/MonitorChartPart"
	logsPart  = "Extension/Microsoft_OperationsManagementSuite_Workspace/PartType/LogsDashboardPart"
)

// rowMetrics are the metrics by which pipelines tell how many rows they wrote: the current name and the older one.
var rowMetrics = []string{"rows_updated", "rows_inserted"}

// DashboardName is the name of a pipeline's dashboard. The portal takes 3 to 24 letters, digits and hyphens, so the name is
// shortened and made different by a digest; the title stands in a tag.
func DashboardName(pipeline string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, pipeline)
	return strings.TrimLeft(strings.Trim(plain[:min(len(plain), 15)], "-")+"-"+digest([]byte(pipeline))[:8], "-")
}

// dashboard shows the runs of one pipeline and the rows that it wrote.
func (l *lowering) dashboard() {
	if l.o.AppInsightsID == "" {
		return
	}
	name := l.b.Pipeline.Name
	version, _ := arm.Version(typeDashboard)
	tags := map[string]string{}
	for k, v := range l.o.Tags {
		tags[k] = v
	}
	tags["hidden-title"] = "Pipeline " + name
	r := arm.Resource{Type: typeDashboard, APIVersion: version, Name: DashboardName(name), Location: l.o.Location, Tags: tags,
		Properties: arm.Object{
			"lenses": []any{arm.Object{"order": 0, "parts": []any{
				tile(0, 0, l.runs("PipelineSucceededRuns", "Succeeded runs of "+name)),
				tile(6, 0, l.runs("PipelineFailedRuns", "Failed runs of "+name)),
				tile(0, 4, l.rows("Rows written by "+name+", by table")),
			}}},
			"metadata": arm.Object{"model": arm.Object{"timeRange": arm.Object{
				"type":  "MsPortalFx.Composition.Configuration.ValueTypes.TimeRange",
				"value": arm.Object{"relative": arm.Object{"duration": 24, "timeUnit": 1}},
			}}},
		}}
	l.result.Resources[symbol(dashboardPrefix, name)] = r
}

func tile(x, y int, metadata arm.Object) arm.Object {
	return arm.Object{"position": arm.Object{"x": x, "y": y, "colSpan": 6, "rowSpan": 4}, "metadata": metadata}
}

// sum is the number that the portal has for adding a metric up.
const sum = 1

// runs counts runs by a metric of the factory, of this pipeline only: the metric's dimension Name is the pipeline.
func (l *lowering) runs(metric, title string) arm.Object {
	chart := arm.Object{
		"title": title, "titleKind": 1,
		"metrics": []any{arm.Object{
			"resourceMetadata": arm.Object{"id": l.o.FactoryID}, "namespace": "microsoft.datafactory/factories",
			"name": metric, "aggregationType": sum,
			"metricVisualization": arm.Object{"displayName": title, "resourceDisplayName": l.o.FactoryName},
		}},
		"filterCollection": arm.Object{"filters": []any{arm.Object{"key": "Name", "operator": 0, "values": []any{l.b.Pipeline.Name}}}},
		"visualization":    arm.Object{"chartType": 2, "legendVisualization": arm.Object{"isVisible": true, "position": 2}, "disablePinning": true},
	}
	return arm.Object{"type": chartPart,
		"inputs":   []any{arm.Object{"name": "options", "isOptional": true}, arm.Object{"name": "sharedTimeRange", "isOptional": true}},
		"settings": arm.Object{"content": arm.Object{"options": arm.Object{"chart": chart}}}}
}

// rows sums what the pipeline's code reports, under either name, by table.
func (l *lowering) rows(title string) arm.Object {
	var names []string
	for _, metric := range rowMetrics {
		names = append(names, kqlText(l.b.Pipeline.Name+"/"+metric))
	}
	query := "customMetrics\n| where name in (" + strings.Join(names, ", ") + ")\n" +
		"| extend table_name = tostring(customDimensions.table_name)\n" +
		"| summarize rows = sum(valueSum) by bin(timestamp, 1h), table_name\n| render columnchart"
	input := func(name string, value any) any { return arm.Object{"name": name, "value": value} }
	return arm.Object{"type": logsPart, "settings": arm.Object{}, "inputs": []any{
		input("Scope", arm.Object{"resourceIds": []any{l.o.AppInsightsID}}),
		input("PartId", digest([]byte(l.o.FactoryID + "/" + l.b.Pipeline.Name))[:32]),
		input("Version", "2.0"),
		input("TimeRange", "P1D"),
		input("Query", query),
		input("ControlType", "FrameControlChart"),
		input("SpecificChart", "StackedColumn"),
		input("PartTitle", title),
		input("PartSubTitle", l.o.FactoryName),
		input("Dimensions", arm.Object{
			"xAxis": arm.Object{"name": "timestamp", "type": "datetime"}, "yAxis": []any{arm.Object{"name": "rows", "type": "real"}},
			"splitBy": []any{arm.Object{"name": "table_name", "type": "string"}}, "aggregation": "Sum"}),
	}}
}

// kqlText quotes a text for a query of logs.
func kqlText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(s) + "'"
}
