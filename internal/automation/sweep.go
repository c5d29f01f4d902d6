package automation

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// stackOfPull is the name of a deployment stack of a pull request's environment, see azure.Names.
var stackOfPull = regexp.MustCompile(`^flowehr-.+-(flwr-[0-9a-f]{8})$`)

// groupOfPull is its resource group, which stands longest.
var groupOfPull = regexp.MustCompile(`^rg-(flwr-[0-9a-f]{8})$`)

// PullEnvironments finds the environments of pull requests in the subscription, by the names of their deployment stacks and
// resource groups. An environment was last deployed when its newest stack was changed. One whose stacks deny deletion has real
// data: they do so for no other reason.
func PullEnvironments(ctx context.Context, c *cloud.Client) ([]bot.Standing, error) {
	found := map[string]*bot.Standing{}
	scope := "/subscriptions/" + c.Subscription()
	version := func(typ string) string {
		v, _ := arm.Version(typ)
		return "?api-version=" + v
	}
	type item struct {
		Name   string            `json:"name"`
		Tags   map[string]string `json:"tags"`
		System struct {
			Created time.Time `json:"createdAt"`
			Changed time.Time `json:"lastModifiedAt"`
		} `json:"systemData"`
		Properties struct {
			Deny struct {
				Mode string `json:"mode"`
			} `json:"denySettings"`
		} `json:"properties"`
	}
	note := func(pattern *regexp.Regexp) func(item) {
		return func(i item) {
			m := pattern.FindStringSubmatch(i.Name)
			if m == nil {
				return
			}
			s, ok := found[m[1]]
			if !ok {
				s = &bot.Standing{Suffix: m[1]}
				found[m[1]] = s
			}
			s.Deployed = latest(s.Deployed, i.System.Created, i.System.Changed)
			mode := i.Properties.Deny.Mode
			s.RealData = s.RealData || mode != "" && !strings.EqualFold(mode, "none")
			if t, err := time.Parse(time.RFC3339, i.Tags[bot.ExpiryTag]); err == nil {
				s.Expires = latest(s.Expires, t)
			}
		}
	}
	if err := each(ctx, c, cloud.ARM(), scope+"/providers/Microsoft.Resources/deploymentStacks"+version("Microsoft.Resources/deploymentStacks"), note(stackOfPull)); err != nil {
		return nil, err
	}
	if err := each(ctx, c, cloud.ARM(), scope+"/resourcegroups"+version("Microsoft.Resources/resourceGroups"), note(groupOfPull)); err != nil {
		return nil, err
	}
	var all []bot.Standing
	for _, s := range found {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b bot.Standing) int { return cmp.Compare(a.Suffix, b.Suffix) })
	return all, nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
