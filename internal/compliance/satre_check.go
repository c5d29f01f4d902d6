package compliance

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// onAzure answers a statement from the resources of Azure, or for an environment on this machine from what is known of it.
func onAzure(azure, local check) check {
	return func(v *view) Finding {
		if v.in.Environment.Target == flowehr.TargetAzure {
			return azure(v)
		}
		return local(v)
	}
}

// probed lets a probe decide: it saw what is in force. A statement that the files break stays broken.
func probed(name string, otherwise check) check {
	return func(v *view) Finding {
		f := otherwise(v)
		for _, p := range v.in.Probes {
			if p.Name != name {
				continue
			}
			e := Evidence{Source: "probe " + name, Value: fmt.Sprintf("%s, %s", map[bool]string{true: "held", false: "did not hold"}[p.Held], p.At.UTC().Format("2 January 2006 15:04 UTC"))}
			if p.Detail != "" {
				e.Value += ": " + p.Detail
			}
			switch {
			case !p.Held:
				return Finding{Status: NotMet, Evidence: append([]Evidence{e}, f.Evidence...), Why: "It was tried, and it did not hold.", Next: "See what the probe says, put it right and let it try again."}
			case f.Status == CannotTell:
				return Finding{Status: Met, Evidence: append([]Evidence{e}, f.Evidence...), Why: "It was tried, and it held."}
			}
			f.Evidence = append([]Evidence{e}, f.Evidence...)
		}
		return f
	}
}

// document is a statement that is met by the product and shown by what comes with it.
func document(why, where string) check {
	return func(*view) Finding {
		return Finding{Status: Met, Why: why, Evidence: []Evidence{{Source: where}}}
	}
}

// feature is a statement that is met where a part of the product is in use.
func feature(name, why string) check {
	return func(v *view) Finding {
		e := []Evidence{{Property: "part of the product", Value: name}}
		if v.in.Facts.Features == nil {
			return Finding{Status: CannotTell, Why: "Nobody looked which parts of the product are in use.", Next: "Whoever runs the environment can tell.", Evidence: e}
		}
		if slices.Contains(v.in.Facts.Features, name) {
			return Finding{Status: Met, Why: why, Evidence: e}
		}
		return Finding{Status: NotMet, Why: "The environment does not use the part of the product that does it.", Next: "Use it, or show how your organisation does it instead.", Evidence: e}
	}
}

func ownerOfMachine(why string) check { return someoneElse(why, "Whoever administers this machine.") }

// fact is a finding about something that a caller looked at, or did not.
func fact(known *bool, property, met, notMet, unknown, next string) Finding {
	if known == nil {
		return Finding{Status: CannotTell, Why: unknown, Next: next}
	}
	e := []Evidence{{Property: property, Value: fmt.Sprint(*known)}}
	if *known {
		return Finding{Status: Met, Why: met, Evidence: e}
	}
	return Finding{Status: NotMet, Why: notMet, Next: next, Evidence: e}
}

func signInRequired(v *view) Finding {
	return fact(v.in.Facts.SignInRequired, "sign-in", "Nothing is shown before sign-in.", "The portal answers whoever reaches it.",
		"Nobody looked whether the portal asks for sign-in.", "Turn sign-in on in the portal.")
}

func auditWritten(v *view) Finding {
	f := fact(v.in.Facts.AuditLog, "audit log", "", "Events are not written to the audit log.", "Nobody looked whether events are logged.", "Run flowehr audit verify.")
	if f.Status == Met {
		f.Status, f.Why, f.Next = CannotTell, "Events are written to a chained log; that nobody changed it shows when it is verified.", "Run flowehr audit verify, and have somebody look at the log regularly."
	}
	return f
}

func tracedPeople(v *view) Finding { return worst(signInRequired(v), auditWritten(v)) }

func secondFactor(v *view) Finding {
	return fact(v.in.Facts.MultiFactor, "second factor", "Tokens prove a second factor.", "Tokens carry no second factor.",
		"The identity provider decides, and no token was looked at.", "An administrator of the identity provider can tell.")
}

func codeReviewed(unknown string) check {
	return func(v *view) Finding {
		return fact(v.in.Facts.CodeReviewed, "reviewed changes", "The definition changes by reviewed pull requests only.", "The definition's branch takes changes without review.", unknown, "Protect the branch of the definition.")
	}
}

func triedFirst(v *view) Finding {
	f := codeReviewed("Whether a plan or a second environment is tried before a merge is decided by the definition's repository.")(v)
	for _, r := range v.specs {
		var b azure.BranchSpec
		if r.Ref.Kind == azure.KindBranch && json.Unmarshal(r.Spec, &b) == nil {
			f.Evidence = append(f.Evidence, Evidence{Resource: r.Ref.String(), Property: "checks", Value: fmt.Sprintf("%s; %s", strings.Join(b.Checks, ", "), plural(b.Approvals, "approval"))})
		}
	}
	return f
}

func noDesktop(*view) Finding {
	return Finding{Status: NotApplicable, Why: "Neither a desktop nor notebooks are offered."}
}

func notebookClipboard(*view) Finding {
	return Finding{Status: CannotTell, Why: "Databricks has notebooks, whose clipboard and downloads are settings of the running workspace.", Next: "An administrator of the workspace turns them off and can tell."}
}

// projects lists the projects that own something.
func projects(env *flowehr.Environment) []string {
	var ids []string
	for _, p := range env.Projects {
		ids = append(ids, p.ID)
	}
	for _, p := range env.Pipelines {
		ids = append(ids, p.Project)
	}
	for _, a := range env.Apps {
		ids = append(ids, a.Project)
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(s string) bool { return s == "" })
}

// isolated is a statement about projects that share an environment. One alone is apart by construction.
func isolated(shared string) check {
	return probed(ProbeIsolation, func(v *view) Finding {
		all := projects(v.in.Environment)
		e := []Evidence{{Property: "projects", Value: strings.Join(all, ", ")}}
		switch {
		case len(all) <= 1:
			return Finding{Status: Met, Why: "The environment serves one project.", Evidence: e}
		case v.in.Environment.Target == flowehr.TargetAzure:
			return Finding{Status: NotMet, Why: shared, Next: "Give each project an environment of its own.", Evidence: e}
		}
		return Finding{Status: CannotTell, Why: "Several projects share this machine.", Next: "Let a probe try to read one project's data as another.", Evidence: e}
	})
}

// identityDecides wants no door that opens with a key instead of an identity.
func identityDecides(v *view) Finding {
	return worst(vaultRoles(v), cosmosIdentity(v), sqlDirectoryOnly(v), registryAdmin(v), storageSharedKey(v))
}

var (
	sqlDirectoryOnly = property(sqlServer, sqlTypes, "administrators.azureADOnlyAuthentication", "false", "Let the directory alone sign in to the server.", "true")
	registryAdmin    = property("image registry", []string{"Microsoft.ContainerRegistry/registries"}, "adminUserEnabled", "false", "Turn the administrator's account of the registry off.", "false")
	registryPull     = property("image registry", []string{"Microsoft.ContainerRegistry/registries"}, "anonymousPullEnabled", "false", "Let nobody pull without signing in.", "false")
	sqlTLS           = property(sqlServer, sqlTypes, "minimalTlsVersion", "unknown", "Ask for TLS 1.2.", "1.2", "1.3")
	cosmosTLS        = property(cosmosAccount, cosmosTypes, "minimalTlsVersion", "Tls12", "Ask for TLS 1.2.", "Tls12")
)

func provenIdentity(v *view) Finding { return worst(sqlDirectoryOnly(v), webSignIn(v), webBasic(v)) }

func oneSignIn(v *view) Finding {
	return worst(webSignIn(v), everythingLogged(v), someoneElse("That one person has one account is decided by the directory.", "An administrator of the directory can tell.")(v))
}

func noSharedAccounts(v *view) Finding {
	return worst(sqlDirectoryOnly(v), registryAdmin(v), cosmosIdentity(v), webBasic(v))
}

func outboundClosed(v *view) Finding {
	return every(v, "subnet", v.subnets(), "Deny every port and protocol to the internet, after the rules that allow what is needed.", func(s *item) verdict { return outboundOpen(v, s) })
}

func noOtherWayOut(v *view) Finding {
	return worst(outboundClosed(v), storageAnonymous(v), storageCrossTenant(v), storageDefaultDeny(v), registryPull(v))
}

func securityLogs(v *view) Finding {
	f := everythingLogged(v)
	if f.Status == Met {
		f.Status = CannotTell
		f.Why = "Everything sends its log to the workspace. Sign-in is logged by the directory; that nobody can change logs and that somebody looks at them is decided by who administers the workspace."
		f.Next = "Export the workspace's logs to an account whose blobs cannot be changed, and name who reviews them."
	}
	return f
}

func encryptedAtRest(v *view) Finding {
	accounts := every(v, storageAccount, v.of(storageTypes...), "Turn encryption on.", func(it *item) verdict {
		return has(it, "encryption.services.blob.enabled", "true", "true")
	})
	servers := every(v, postgresServer, v.of(postgresTypes...), "", func(it *item) verdict {
		return told(true, it, "encryption", "always, by Azure", "")
	})
	return worst(accounts, sqlEncrypted(v), servers)
}

func encryptedInTransit(v *view) Finding {
	return worst(storageSecureTransfer(v), storageTLS(v), sqlTLS(v), postgresTLS(v), cosmosTLS(v), webHTTPS(v), webTLS(v), bricksWorkers(v), sourcesTLS(v))
}

// sourcesTLS looks at how the definition reaches its sources.
func sourcesTLS(v *view) Finding {
	f := Finding{Status: NotApplicable, Why: "No source is reached over a network."}
	for _, s := range v.in.Environment.Sources {
		if s.Kind == flowehr.SourceFolder {
			continue
		}
		mode := s.TLS
		if mode == "" {
			mode = "require"
		}
		one := Finding{Status: Met, Why: "Sources are reached encrypted.", Evidence: []Evidence{{Resource: "source " + s.Name, Property: "tls", Value: mode}}}
		if mode == "disable" {
			one.Status, one.Why, one.Next = NotMet, "A source is reached in the clear.", "Set tls of the source to require or verify."
		}
		f = worst(f, one)
	}
	return f
}

// sourcesEncrypted adds how people reach the portal of this machine.
func sourcesEncrypted(v *view) Finding {
	portal := fact(v.in.Facts.TLS, "portal over TLS", "The portal is reached over TLS, or from this machine alone.", "The portal is reached in the clear from other machines.",
		"Nobody looked how the portal is reached.", "Listen on this machine alone, or behind a proxy with TLS.")
	if v.in.Facts.TLS == nil {
		if at, err := netip.ParseAddrPort(v.in.Environment.Local.Listen); err == nil && at.Addr().IsLoopback() {
			portal = Finding{Status: Met, Why: "The portal is reached from this machine alone.", Evidence: []Evidence{{Property: "local.listen", Value: v.in.Environment.Local.Listen}}}
		}
	}
	return worst(portal, sourcesTLS(v))
}

func reviewedSources(v *view) Finding {
	f := codeReviewed("Data comes from the sources that the definition names; who approves a new one is decided by its repository.")(v)
	for _, s := range v.in.Environment.Sources {
		f.Evidence = append(f.Evidence, Evidence{Resource: "source " + s.Name, Property: "kind", Value: string(s.Kind)})
	}
	return f
}

// leastData looks for identities that read everything where grants per data set are not in use: the group of all apps, as in the
// older system.
func leastData(v *view) Finding {
	if slices.Contains(v.in.Facts.Features, FeatureGrants) {
		return feature(FeatureGrants, "Permissions are of one person, for one data set, with an end.")(v)
	}
	f := Finding{Status: CannotTell, Why: "Who needs which data is decided by its owner.", Next: "Name grants per data set, or review who is in which group."}
	for _, r := range v.specs {
		var s azure.SQLPrincipalSpec
		if r.Ref.Kind == azure.KindSQLPrincipal && json.Unmarshal(r.Spec, &s) == nil && s.Group && len(s.Roles) > 0 {
			f.Status, f.Why = NotMet, "A group reads the whole feature store, whatever each of its members needs."
			f.Next = "Give each app a role of its own in the feature store, for what it needs."
			f.Evidence = append(f.Evidence, Evidence{Resource: r.Ref.String(), Property: "roles", Value: strings.Join(s.Roles, ", ")})
		}
	}
	return f
}

// readsRecorded wants the reading of tables to be logged with the reader.
func readsRecorded(v *view) Finding {
	return worst(sqlAuditing(v), bricksLog(v), storageBlobLog(v))
}

func backedUp(v *view) Finding {
	f := worst(blobSoftDelete(v), containerSoftDelete(v))
	if f.Status == Met {
		f.Status, f.Why = CannotTell, "Databases are backed up by Azure and deleted blobs kept for some days. Whether that is long enough is decided by who owns the data."
		f.Next = "The owner of the data."
	}
	return f
}

// scanned wants a check that looks for weaknesses to stand before every merge of an app.
func scanned(v *view) Finding {
	f := Finding{Status: CannotTell, Why: "The environment has no app whose repository it manages.", Next: "Run your organisation's scanner over what runs here."}
	for _, r := range v.specs {
		var b azure.BranchSpec
		if r.Ref.Kind != azure.KindBranch || json.Unmarshal(r.Spec, &b) != nil {
			continue
		}
		one := Finding{Status: NotMet, Why: "An app is merged without a scan.", Next: "Make the scan a required check of the branch.", Evidence: []Evidence{{Resource: r.Ref.String(), Property: "checks", Value: strings.Join(b.Checks, ", ")}}}
		if slices.Contains(b.Checks, "Code Scanning") {
			one.Status, one.Why, one.Next = Met, "Apps are scanned before they are merged.", ""
		}
		if len(f.Evidence) == 0 {
			f = one
			continue
		}
		f = worst(f, one)
	}
	return f
}

// eachProject is a statement about what the definition says of every project.
func eachProject(property, missing, next string, test func(flowehr.Project) (bool, string)) check {
	return func(v *view) Finding {
		if len(v.in.Environment.Projects) == 0 {
			return Finding{Status: NotMet, Why: "The definition names no project.", Next: "Name your projects under projects."}
		}
		f := Finding{Status: Met, Why: "The definition says it of every project."}
		for _, p := range v.in.Environment.Projects {
			ok, value := test(p)
			f.Evidence = append(f.Evidence, Evidence{Resource: "project " + p.ID, Property: property, Value: value})
			if !ok {
				f.Status, f.Why, f.Next = NotMet, missing, next
			}
		}
		return f
	}
}

func approvedUntil(v *view) Finding {
	return eachProject("approved_until", "A project has no approval, or one that has ended.", "Set approved_until, and renew it.", func(p flowehr.Project) (bool, string) {
		if p.ApprovedUntil.IsZero() {
			return false, "not set"
		}
		return p.ApprovedUntil.After(v.at()), p.ApprovedUntil.Format("2 January 2006")
	})(v)
}

var (
	budgeted = eachProject("budget", "A project has no budget.", "Set budget of the project.", func(p flowehr.Project) (bool, string) {
		return p.Budget > 0, fmt.Sprintf("%.2f a month", p.Budget)
	})
	projectsNamed = eachProject("owners", "A project has no owner.", "Name owners of the project.", func(p flowehr.Project) (bool, string) {
		return len(p.Owners) > 0, plural(len(p.Owners), "owner")
	})
)

// tiered shows the tiers of projects. 0 is the tier of a project that says nothing, so that nobody can tell whether it was meant.
func tiered(v *view) Finding {
	f := eachProject("tier", "", "", func(p flowehr.Project) (bool, string) { return true, fmt.Sprint(p.Tier) })(v)
	if f.Status == Met && slices.ContainsFunc(v.in.Environment.Projects, func(p flowehr.Project) bool { return p.Tier == 0 }) {
		f.Status, f.Why, f.Next = CannotTell, "A project has tier 0, which is also what one has that says nothing.", "The owner of the data confirms the tier."
	}
	if f.Status == Met && v.in.Environment.RealData && slices.ContainsFunc(v.in.Environment.Projects, func(p flowehr.Project) bool { return p.Tier < 2 }) {
		f.Status, f.Why, f.Next = NotMet, "The environment has real data, and a project has a tier for data that is not sensitive.", "Classify the project's data."
	}
	return f
}

func costKnown(v *view) Finding {
	return Finding{Status: CannotTell, Why: "A plan shows what an environment costs before it is made; what a project needs is known by its owner.", Next: "The owner of the project agrees the plan.", Evidence: []Evidence{{Source: "flowehr plan"}}}
}
