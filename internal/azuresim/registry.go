package azuresim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	typeRegistry      = "Microsoft.ContainerRegistry/registries"
	typeRegistryToken = "Microsoft.ContainerRegistry/registries/tokens"
)

// registries answers the one action of container registries that is no resource: making passwords for tokens
// (learn.microsoft.com/rest/api/container-registry/registries/generate-credentials). Images are not simulated.
type registries struct {
	w *world
	m *manager
}

func newRegistries(w *world, m *manager) {
	g := &registries{w, m}
	m.route(typeRegistryToken, g.token)
	m.route(typeRegistry, g.call)
	m.watch(typeRegistryToken, func(what change, r *resource) {
		if what == changeGone {
			delete(w.Tokens, key(r.ID))
		}
	})
	w.on("registry-password", g.password)
}

// tokenPassword is what can be read of a password: not its value.
type tokenPassword struct {
	Name   string    `json:"name"`
	Made   time.Time `json:"made"`
	Expiry time.Time `json:"expiry,omitzero"`
}

func (p tokenPassword) describe() object {
	out := object{"name": p.Name, "creationTime": stamp(p.Made)}
	if !p.Expiry.IsZero() {
		out["expiry"] = stamp(p.Expiry)
	}
	return out
}

// token shows a token with its passwords.
func (g *registries) token(c *call, r *resource, t target) (answer, bool) {
	if c.Method != http.MethodGet || t.Rest != "" || key(t.ID) != key(r.ID) {
		return answer{}, false
	}
	body := clone(r.Body)
	passwords := []object{}
	for _, p := range g.w.Tokens[key(r.ID)] {
		passwords = append(passwords, p.describe())
	}
	if properties := objectAt(body, "properties"); properties != nil {
		properties["credentials"] = object{"passwords": passwords}
	}
	return ok(body), true
}

// credentialsTake is how long making a password takes.
const credentialsTake = 6 * time.Second

func (g *registries) call(c *call, r *resource, t target) (answer, bool) {
	if c.Method != http.MethodPost || !strings.EqualFold(t.Rest, "generateCredentials") || !t.is(typeRegistry) {
		return answer{}, false
	}
	var body struct {
		Token  string    `json:"tokenId"`
		Expiry time.Time `json:"expiry"`
		Name   string    `json:"name"`
	}
	if err := c.decode(&body); err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid: %v", err), true
	}
	token := g.w.Manager.Resources[key(body.Token)]
	switch {
	case token == nil || !token.ofType(typeRegistryToken) || !within(token.ID, r.ID):
		return fail(http.StatusNotFound, "TokenNotFound", "The token '%s' could not be found in registry '%s'.", body.Token, r.Name), true
	case body.Name != "" && body.Name != "password1" && body.Name != "password2":
		return fail(http.StatusBadRequest, "InvalidPasswordName", "The name of a password is password1 or password2."), true
	}
	o := g.w.begin(r.ID, credentialsTake)
	g.w.after(credentialsTake, "registry-password", strings.Join([]string{o.ID, token.ID, body.Name, body.Expiry.UTC().Format(time.RFC3339)}, " "))
	return reply(http.StatusAccepted, nil).with("Location", g.m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1"), true
}

func (r *resource) ofType(typ string) bool { return strings.EqualFold(r.Type, typ) }

// password ends the making of a password. The answer is the only place where it stands.
func (g *registries) password(subject string) {
	parts := strings.Split(subject, " ")
	o, token := g.w.Operations[parts[0]], g.w.Manager.Resources[key(parts[1])]
	if o == nil {
		return
	}
	if token == nil {
		g.w.finish(o, nil, refusal("TokenNotFound", "The token '%s' was deleted.", parts[1]))
		return
	}
	names := []string{"password1", "password2"}
	if parts[2] != "" {
		names = parts[2:3]
	}
	passwords := []object{}
	if g.w.Tokens == nil {
		g.w.Tokens = map[string][]tokenPassword{}
	}
	for _, name := range names {
		p := tokenPassword{Name: name, Made: g.w.now()}
		if expiry, err := time.Parse(time.RFC3339, parts[3]); err == nil && expiry.Year() > 1 {
			p.Expiry = expiry
		}
		kept := slices.DeleteFunc(g.w.Tokens[key(token.ID)], func(x tokenPassword) bool { return x.Name == name })
		g.w.Tokens[key(token.ID)] = append(kept, p)
		told := p.describe()
		told["value"] = hexOf(g.w.seed, 32, "registry", token.ID, g.w.newID())
		passwords = append(passwords, told)
	}
	g.w.finish(o, object{"username": token.Name, "passwords": passwords}, nil)
}
