package arm

import "strings"

// Literal is text as it stands in a template. Text in brackets would be taken for an expression; doubling the first bracket
// says that it is not.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions#escape-characters
func Literal(text string) string {
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		return "[" + text
	}
	return text
}

// PublishingURL is an address below the site that apps are released through, with the name and password that it asks for. The
// expression is all that a template has of them: Resource Manager fills them in, and neither plan nor state sees them. siteID is
// the id of a site or slot, which the resource has to come after.
func PublishingURL(siteID, path string) string {
	version := versions["Microsoft.Web/sites"]
	return "[concat(list('" + siteID + "/config/publishingcredentials', '" + version + "').properties.scmUri, '" + path + "')]"
}

// Prefixed is an expression with a text before its value.
func Prefixed(text, expression string) string {
	return "[concat('" + strings.ReplaceAll(text, "'", "''") + "', " + strings.TrimSuffix(strings.TrimPrefix(expression, "["), "]") + ")]"
}
