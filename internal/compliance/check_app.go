package compliance

import (
	"fmt"
	"slices"
	"strings"
)

// siteTypes are apps and their slots: a slot is judged like an app, for it runs the same code with the same data.
var siteTypes = []string{"Microsoft.Web/sites", "Microsoft.Web/sites/slots"}

const webApp = "web app"

var (
	webHTTPS  = property(webApp, siteTypes, "httpsOnly", "false", "Let the app answer over HTTPS only.", "true")
	webTLS    = siteConfig("minTlsVersion", "unknown", "Ask for TLS 1.2 or later.", "1.2", "1.3")
	webHTTP2  = siteConfig("http20Enabled", "false", "Turn HTTP/2 on.", "true")
	webFTP    = siteConfig("ftpsState", "AllAllowed", "Turn FTP off.", "Disabled", "FtpsOnly")
	webDebug  = siteConfig("remoteDebuggingEnabled", "false", "Turn remote debugging off.", "false")
	webClient = func(v *view) Finding {
		return every(v, webApp, v.of(siteTypes...), "Certificates of clients need somebody who issues them to every browser; people sign in with the directory instead. Record the exception.", func(it *item) verdict {
			if on := has(it, "clientCertEnabled", "false", "true"); on.status != Met {
				return on
			}
			return has(it, "clientCertMode", "Required", "Required")
		})
	}
)

// siteConfig is a check of a setting of every app. Azure returns the settings with the app's configuration, a template has them
// with the app.
func siteConfig(name, absent, next string, wanted ...string) check {
	return func(v *view) Finding {
		return every(v, webApp, v.of(siteTypes...), next, func(it *item) verdict {
			if config := v.child(it, "config", "web"); config != nil && config.state == read {
				if _, set := config.text(name); set {
					return has(config, name, absent, wanted...)
				}
			}
			if _, set := it.text("siteConfig." + name); !set && v.deployed {
				return verdict{CannotTell, Evidence{Resource: it.called(), Property: "config/web " + name, Value: "not read"}, ""}
			}
			return has(it, "siteConfig."+name, absent, wanted...)
		})
	}
}

// webSignIn wants a login in front of the app that really asks: one that lets the anonymous through is none.
func webSignIn(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Set auth.easy_auth for the app.", func(it *item) verdict {
		return part(v, it, "config", "authsettingsV2", func(p *item) verdict {
			for _, name := range []string{"platform.enabled", "globalValidation.requireAuthentication", "identityProviders.azureActiveDirectory.enabled"} {
				if on := has(p, name, "false", "true"); on.status != Met {
					return on
				}
			}
			action, _ := p.text("globalValidation.unauthenticatedClientAction")
			return told(action != "AllowAnonymous", p, "globalValidation.unauthenticatedClientAction", action, "The login lets the anonymous through.")
		})
	})
}

func webIdentity(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Give the app a managed identity.", func(it *item) verdict {
		value, set := it.text("identity.type")
		return told(set && value != "None", it, "identity.type", value, "")
	})
}

// webBasic wants both doors for passwords closed: FTP and the deployment site. Azure opens both unless it is told otherwise, and an
// app whose image is deployed by the registry's webhook needs the second.
func webBasic(v *view) Finding {
	next := "With accesses_real_data and a testing slot the app itself is deployed by a swap; give the app a testing slot, and record the exception for where the registry's webhook rings."
	return every(v, webApp, v.of(siteTypes...), next, func(it *item) verdict {
		for _, door := range []string{"ftp", "scm"} {
			p := v.child(it, "basicPublishingCredentialsPolicies", door)
			if p == nil {
				return told(false, it, "basicPublishingCredentialsPolicies/"+door, "not set, which means allowed", "Passwords are allowed unless it is said otherwise.")
			}
			if s := stateVerdict(p); s != nil {
				return *s
			}
			got := has(p, "allow", "true", "false")
			if got.status == Met {
				continue
			}
			if door == "scm" && v.rung(it) {
				got.because = "The registry's webhook deploys it with a publishing password, so that the deployment site takes passwords."
			}
			return got
		}
		return told(true, it, "basicPublishingCredentialsPolicies", "ftp and scm refuse passwords", "")
	})
}

// rung says whether a webhook of the registry deploys an app.
func (v *view) rung(site *item) bool {
	return slices.ContainsFunc(v.of("Microsoft.ContainerRegistry/registries/webhooks"), func(w *item) bool {
		uri, _ := w.text("serviceUri")
		return strings.Contains(strings.ToLower(uri), strings.ToLower(site.id+"/config/"))
	})
}

// runtimeVersion is a check about the language that Azure runs an app with. Apps bring their own in an image.
func runtimeVersion(language string) check {
	return func(v *view) Finding {
		f := every(v, webApp, v.of(siteTypes...), "", func(it *item) verdict {
			kind, _ := it.text("kind")
			runs, set := it.text("siteConfig.linuxFxVersion")
			if strings.Contains(kind, "container") || strings.HasPrefix(runs, "DOCKER|") {
				return verdict{NotApplicable, Evidence{Resource: it.called(), Property: "kind", Value: kind}, ""}
			}
			if set && !strings.HasPrefix(strings.ToUpper(runs), language) {
				return verdict{NotApplicable, Evidence{Resource: it.called(), Property: "linuxFxVersion", Value: runs}, ""}
			}
			return verdict{CannotTell, Evidence{Resource: it.called(), Property: "linuxFxVersion", Value: runs}, "Whether a version is supported is published by those who make the language."}
		})
		if f.Status == NotApplicable && len(f.Evidence) > 0 {
			f.Why = "Apps run in images that they bring along; the owner of an app keeps its language up to date, and the scan of its repository says when not."
		}
		return f
	}
}

// secretive are parts of names of settings that hold secrets.
var secretive = []string{"SECRET", "PASSWORD", "PASSWD", "TOKEN", "APIKEY", "API_KEY", "ACCOUNTKEY", "ACCOUNT_KEY"}

// webSecrets wants settings that hold secrets to be references to a vault.
func webSecrets(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Put the value into the definition as ${NAME}: it goes to the vault, and the app gets a reference.", func(it *item) verdict {
		return part(v, it, "config", "appsettings", func(p *item) verdict {
			settings, _ := p.get("properties")
			all, _ := settings.(map[string]any)
			referenced := 0
			for name, value := range all {
				text, _ := value.(string)
				if strings.HasPrefix(text, "@Microsoft.KeyVault(") {
					referenced++
					continue
				}
				upper := strings.ToUpper(name)
				holds := slices.ContainsFunc(secretive, func(s string) bool { return strings.Contains(upper, s) }) ||
					strings.Contains(strings.ToLower(text), "password=") || strings.Contains(text, "AccountKey=")
				if holds {
					return told(false, p, name, "not a reference to a vault", "")
				}
			}
			return told(true, p, "references to a vault", fmt.Sprint(referenced), "")
		})
	})
}
