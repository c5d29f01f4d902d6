package estate

import (
	"maps"
	"slices"
	"strings"
)

// Workflows of the template that do the work (06-azure-facts).
const (
	pushWorkflow = "acr_deploy_reusable.yml" // builds the image and pushes it to the registry
	swapWorkflow = "slot_swap_reusable.yml"  // makes the testing slot the production one
)

// workflow is the file that releases the app to a GitHub environment whenever the branch of that name changes. With a testing
// slot production is released by swapping what has been tried.
func (a *app) workflow(env string) string {
	called := pushWorkflow
	if a.TestingSlot && env == a.l.env.Name {
		called = swapWorkflow
	}
	lines := []string{
		"# FlowEHR keeps this file. What a release does is in " + called + ".",
		"name: " + quoted("Deploy "+env),
		"",
		"on:",
		"  push:",
		"    branches: [" + quoted(env) + "]",
		"",
		"permissions:",
		"  contents: read",
		"  id-token: write # signs in to Azure without a password",
		"",
		"concurrency:",
		"  group: " + quoted("deploy-"+env),
		"",
		"jobs:",
		"  deploy:",
		"    name: " + quoted("Deploy "+env),
		"    uses: ./.github/workflows/" + called,
		"    with:",
		"      environment: " + quoted(env),
		"    secrets: inherit",
	}
	return strings.Join(lines, "\n") + "\n"
}

// quoted is a text in YAML that is nothing else, whatever it looks like: an environment may be called 1 or on. Names of
// environments have no quotes in them.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// sortedKeys lists the keys of m in order.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
