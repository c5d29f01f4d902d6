package estate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// signInSecret is the setting in which the platform's sign-in finds the application's password.
const signInSecret = "MICROSOFT_PROVIDER_AUTHENTICATION_SECRET"

// Settings that belong to a slot and stay with it when slots are swapped. All others are the same in both.
const (
	settingInsights    = "APPLICATIONINSIGHTS_CONNECTION_STRING"
	settingEnvironment = "ENVIRONMENT"
	settingTold        = "DOCKER_ENABLE_CI" // pulls the image when the registry's webhook rings
)

// settings are what the app finds in its environment: its own, and over them those of the platform (02-layers).
func (a *app) settings(s *site, insights string) arm.Object {
	own := a.platformSettings(s, insights)
	settings := arm.Object{}
	for _, key := range slices.Sorted(maps.Keys(a.Env)) {
		if !settable(key) {
			continue
		}
		value := a.Env[key]
		if len(value.Secrets()) > 0 {
			settings[key] = a.vaultReference(a.settingSecret(key))
		} else {
			settings[key] = arm.Literal(value.String())
		}
	}
	maps.Copy(settings, own)
	return settings
}

func (a *app) platformSettings(s *site, insights string) arm.Object {
	l := a.l
	state := "https://" + l.names.Documents() + ".documents.azure.com:443/"
	settings := arm.Object{
		settingInsights:                   arm.Reference(insights, "ConnectionString"),
		settingEnvironment:                s.environment,
		"AAD_IDENTIFIER_URI":              l.names.IdentifierURI(a.ID),
		"CLIENT_ID":                       appID(a.signIn),
		"COSMOS_STATE_STORE_ENDPOINT":     state,
		"COSMOSDB_ENDPOINT":               state, // as app templates in the field call it
		settingTold:                       strconv.FormatBool(s.told),
		"FEATURE_STORE_CONNECTION_STRING": l.storeConnection(),
		"KEY_VAULT_URI":                   "https://" + l.names.AppVault() + ".vault.azure.net/",
		"SUBSCRIPTION_ID":                 l.facts.Subscription,
		"TENANT_ID":                       l.facts.Tenant,
	}
	if a.easyAuth() {
		settings[signInSecret] = a.vaultReference(a.clientSecretName())
	}
	return settings
}

// storeConnection is how an app reaches the feature store: as its own identity, so nothing in it is secret. PostgreSQL is told
// the group that the identity belongs to, and takes a token of the identity for the password.
func (l *lowering) storeConnection() string {
	if l.storeEngine() == enginePostgres {
		return "host=" + l.storeServer() + " port=5432 dbname=" + l.names.SQLDatabase() + " user='" + l.names.Apps() + "' sslmode=require"
	}
	return "Driver={ODBC Driver 18 for SQL Server};Server=tcp:" + l.storeServer() + ",1433;Database=" + l.names.SQLDatabase() +
		";Authentication=ActiveDirectoryMsi;Encrypt=yes;TrustServerCertificate=no;Connection Timeout=30;"
}

// settable reports whether a setting of the definition is used. App Service does not tell settings apart by case.
func settable(key string) bool {
	return !slices.ContainsFunc(platformNames, func(ours string) bool { return strings.EqualFold(key, ours) })
}

// checkSettings reports settings that are one to App Service, and those that are not used because of what this target does.
// Package compile reports those that no target uses.
func (a *app) checkSettings() {
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(a.Env)) {
		if first, twice := seen[strings.ToLower(key)]; twice {
			a.l.refuse(a.Pos, "App Service does not tell "+first+" from "+key+". Give one of them another name.", "app %q has the setting %s twice", a.ID, first)
		}
		seen[strings.ToLower(key)] = key
		known := slices.Contains(platformNames, key) && key != settingTold && key != signInSecret
		if !settable(key) && !known {
			a.l.warn(a.Pos, "In Azure the platform sets it for every app, in capitals or not, and wins. Choose another name.",
				"the setting %s of app %q is not used", key, a.ID)
		}
	}
}

// platformNames are the settings of the platform.
var platformNames = []string{
	settingInsights, settingEnvironment, "AAD_IDENTIFIER_URI", "CLIENT_ID", "COSMOS_STATE_STORE_ENDPOINT", "COSMOSDB_ENDPOINT", settingTold,
	"FEATURE_STORE_CONNECTION_STRING", "KEY_VAULT_URI", "SUBSCRIPTION_ID", "TENANT_ID", signInSecret,
}

// secretSettings lists the settings with a secret in them, in order.
func (a *app) secretSettings() []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(a.Env)) {
		if len(a.Env[key].Secrets()) > 0 && settable(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// settingSecret is the secret of the vault behind a setting. Names in a vault have letters, digits and - only and are the same
// in capitals, so a key that does not come through whole is told apart by a digest.
func (a *app) settingSecret(key string) string {
	name := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return r
	}, key))
	if strings.ToUpper(strings.ReplaceAll(name, "-", "_")) != key || len(name) > 50 {
		name = name[:min(len(name), 40)] + "-" + azure.GUID("setting", key)[:8]
	}
	return a.name + "-env-" + name
}

// vaultReference makes App Service look a setting up in the vault of the apps.
// https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
func (a *app) vaultReference(secret string) string {
	return "@Microsoft.KeyVault(SecretUri=https://" + a.l.names.AppVault() + ".vault.azure.net/secrets/" + secret + ")"
}

// signInSettings are those of the sign-in in front of the app. They are written as well when there is none, so that taking
// easy_auth away takes effect.
func (a *app) signInSettings() arm.Object {
	if !a.easyAuth() {
		return arm.Object{"platform": arm.Object{"enabled": false}}
	}
	return arm.Object{
		"platform": arm.Object{"enabled": true},
		"globalValidation": arm.Object{
			"requireAuthentication": true, "unauthenticatedClientAction": "RedirectToLoginPage", "redirectToProvider": "azureactivedirectory",
		},
		"httpSettings": arm.Object{"requireHttps": true},
		"identityProviders": arm.Object{"azureActiveDirectory": arm.Object{
			"enabled": true,
			"registration": arm.Object{
				"clientId": appID(a.signIn), "clientSecretSettingName": signInSecret,
				"openIdIssuer": "https://login.microsoftonline.com/" + a.l.facts.Tenant + "/v2.0",
			},
			"validation": arm.Object{"allowedAudiences": []any{a.l.names.IdentifierURI(a.ID), appID(a.signIn)}},
		}},
		"login": arm.Object{"tokenStore": arm.Object{"enabled": true}},
	}
}

// stickySettings says which settings stay with their slot.
func (a *app) stickySettings() {
	if !a.TestingSlot {
		return
	}
	a.configure(&a.sites[0], "slotConfigNames", arm.Object{"appSettingNames": []string{settingInsights, settingEnvironment, settingTold}}, a.sites[1].last)
}
