package azuresim

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/curve25519"
)

const gitHubHost = "api.github.com"

// gitHub is GitHub's REST API, as far as repositories of apps, their teams, branches and environments, and the pull-request
// bot need it (docs.github.com/rest). Git itself and workflows are not simulated: a dispatched workflow is noted, not run.
//
// Every organisation and every person exists. A repository of an organisation that nothing was made in counts as a
// template that anybody may use. A GitHub App is believed what its token says, because the simulation does not have its
// public key.
type gitHub struct {
	w      *world
	routes []gitRoute
}

// gitHubState is everything on the simulated GitHub.
type gitHubState struct {
	Serial int64                `json:"serial"`
	Repos  map[string]*gitRepo  `json:"repos"`  // by owner/name, lower case
	Teams  map[string]*gitTeam  `json:"teams"`  // by organisation/slug, lower case
	Tokens map[string]time.Time `json:"tokens"` // of installations, and when they end
	Calls  int                  `json:"calls"`  // against the limit of an hour
}

type gitRoute struct {
	method string
	path   []string
	do     func(*gitCall) answer
}

// gitCall is a call with the parts of its path.
type gitCall struct {
	*call
	g    *gitHub
	part map[string]string
	repo *gitRepo
}

func newGitHub(s *Sim) *gitHub {
	g := &gitHub{w: s.w}
	add := func(method, path string, do func(*gitCall) answer) {
		g.routes = append(g.routes, gitRoute{method, splitPath(path), do})
	}
	add("POST", "/app/installations/{id}/access_tokens", (*gitCall).installationToken)
	g.repositoryRoutes(add)
	g.teamRoutes(add)
	g.environmentRoutes(add)
	g.pullRoutes(add)
	s.host(gitHubHost, g.serve)
	return g
}

// gitFail is a failure as GitHub tells it.
func gitFail(status int, format string, args ...any) answer {
	return reply(status, object{"message": refusal("", format, args...).Message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}

func gitMissing() answer { return gitFail(http.StatusNotFound, "Not Found") }

// gitHubHour is how many calls an hour has.
const gitHubHour = 5000

func (g *gitHub) serve(c *call) answer {
	st := &g.w.GitHub
	if st.Repos == nil {
		st.Repos, st.Teams, st.Tokens = map[string]*gitRepo{}, map[string]*gitTeam{}, map[string]time.Time{}
	}
	if refused := g.admit(c); refused != nil {
		return *refused
	}
	st.Calls++
	a := g.dispatch(c)
	hour := g.w.now().Truncate(time.Hour)
	return a.with("X-RateLimit-Limit", strconv.Itoa(gitHubHour)).with("X-RateLimit-Remaining", strconv.Itoa(gitHubHour-st.Calls%gitHubHour)).
		with("X-RateLimit-Reset", strconv.FormatInt(hour.Add(time.Hour).Unix(), 10)).with("X-GitHub-Request-Id", hexOf(g.w.seed, 16, "github", g.w.newID()))
}

// admit takes the token of an App, of an installation, or of a person (docs.github.com/authentication).
func (g *gitHub) admit(c *call) *answer {
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token")
	app := strings.HasPrefix(c.Path, "/app/")
	good := false
	switch end, issued := g.w.GitHub.Tokens[token]; {
	case !bearer:
	case app:
		good = appToken(token)
	case issued:
		good = end.After(g.w.now())
	default:
		good = strings.HasPrefix(token, "ghp_") || strings.HasPrefix(token, "github_pat_")
	}
	if good {
		return nil
	}
	a := gitFail(http.StatusUnauthorized, "Bad credentials")
	return &a
}

// appToken reports whether a token is one that an App signs for itself: RS256, an issuer, and ten minutes at most
// (docs.github.com/apps: generating a JSON web token).
func appToken(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[2]) < 40 {
		return false
	}
	var head struct{ Alg string }
	var body struct {
		Issuer  any   `json:"iss"`
		Issued  int64 `json:"iat"`
		Expires int64 `json:"exp"`
	}
	for i, into := range []any{&head, &body} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(data, into) != nil {
			return false
		}
	}
	return head.Alg == "RS256" && body.Issuer != nil && body.Expires > body.Issued && body.Expires-body.Issued <= 11*60
}

// installationToken signs an installation in.
func (c *gitCall) installationToken() answer {
	end := c.g.w.now().Add(time.Hour)
	token := "ghs_" + hexOf(c.g.w.seed, 32, "installation", c.part["id"], c.g.w.newID())
	c.g.w.GitHub.Tokens[token] = end
	return reply(http.StatusCreated, object{"token": token, "expires_at": end.UTC().Format(time.RFC3339), "repository_selection": "all",
		"permissions": object{"administration": "write", "contents": "write", "environments": "write", "members": "write", "secrets": "write"}})
}

// dispatch finds the route. A part {name} of its path stands for one segment, {name...} for all that follow.
func (g *gitHub) dispatch(c *call) answer {
	path := splitPath(c.Path)
	for _, r := range g.routes {
		parts, fits := match(r.path, path)
		if r.method != c.Method || !fits {
			continue
		}
		gc := &gitCall{call: c, g: g, part: parts}
		if parts["owner"] != "" && parts["repo"] != "" {
			if gc.repo = g.w.GitHub.Repos[strings.ToLower(parts["owner"]+"/"+parts["repo"])]; gc.repo == nil && r.path[0] == "repos" {
				if r.path[len(r.path)-1] == "generate" {
					return r.do(gc)
				}
				return gitMissing()
			}
		}
		if id := parts["repository"]; id != "" {
			if gc.repo = g.repositoryByID(id); gc.repo == nil {
				return gitMissing()
			}
		}
		if gc.repo != nil && gc.repo.Archived && c.Method != http.MethodGet && !gc.unarchives() && (c.Method != http.MethodDelete || len(r.path) > 3) {
			return gitFail(http.StatusForbidden, "Repository was archived so is read-only.")
		}
		return r.do(gc)
	}
	return gitFail(http.StatusNotFound, "The simulated GitHub has no %s %s", c.Method, c.Path)
}

func match(pattern, path []string) (map[string]string, bool) {
	parts := map[string]string{}
	for i, p := range pattern {
		name, variable := strings.CutPrefix(p, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case i >= len(path):
			return nil, false
		case variable && strings.HasSuffix(name, "..."):
			parts[strings.TrimSuffix(name, "...")] = strings.Join(path[i:], "/")
			return parts, true
		case variable:
			parts[name] = path[i]
		case p != path[i]:
			return nil, false
		}
	}
	return parts, len(pattern) == len(path)
}

// body reads what a call tells.
func (c *gitCall) body() object {
	var b object
	if c.decode(&b) != nil || b == nil {
		return object{}
	}
	return b
}

func (g *gitHub) id() int64 {
	g.w.GitHub.Serial++
	return 100000 + g.w.GitHub.Serial
}

// paged cuts a list to the page that is asked for and says where the next one is (docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api).
func (c *gitCall) paged(all []object) (part []object, link string) {
	size, page := 30, 1
	if n, err := strconv.Atoi(c.Query.Get("per_page")); err == nil && n > 0 {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(c.Query.Get("page")); err == nil && n > 1 {
		page = n
	}
	from := min((page-1)*size, len(all))
	part = append([]object{}, all[from:min(from+size, len(all))]...)
	if from+size < len(all) {
		query := c.Query
		query.Set("page", strconv.Itoa(page+1))
		link = fmt.Sprintf("<%s%s?%s>; rel=\"next\"", c.base(), c.Path, query.Encode())
	}
	return part, link
}

func (c *gitCall) list(all []object) answer {
	part, link := c.paged(all)
	return withLink(ok(part), link)
}

// counted answers with a list in the form that has its length beside it.
func (c *gitCall) counted(name string, all []object) answer {
	part, link := c.paged(all)
	return withLink(ok(object{"total_count": len(all), name: part}), link)
}

func withLink(a answer, link string) answer {
	if link != "" {
		return a.with("Link", link)
	}
	return a
}

// sealKey is the pair of keys for secrets, 32 bytes each (libsodium's sealed boxes).
func (g *gitHub) sealKey() (public, private [32]byte) {
	raw, err := hex.DecodeString(hexOf(g.w.seed, 32, "seal", "first") + hexOf(g.w.seed, 32, "seal", "second"))
	if err != nil || len(raw) != 32 { // hexadecimal digits, as asked
		panic("azuresim: key of GitHub's secrets")
	}
	copy(private[:], raw)
	point, err := curve25519.X25519(private[:], curve25519.Basepoint)
	if err != nil { // the base point is a good one
		panic("azuresim: " + err.Error())
	}
	copy(public[:], point)
	return public, private
}

func sortedBy[V any](m map[string]V, f func(string, V) object) []object {
	out := []object{}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, f(k, m[k]))
	}
	return out
}
