package compliance

// Statements of SATRE that software can meet by itself, can enforce for an organisation, or can cheaply have. Their numbers are
// those of the published specification (https://github.com/sa-tre/satre-specification, docs/source/spec/specification.yaml); the
// words are ours.

const satreNote = "The statements that software can meet, or can show evidence for. Those that only an organisation can meet (governance, people, training, contracts) and those about federation are left to it."

const (
	mandatory = "mandatory"
	wished    = "recommended or optional"
)

type statement struct {
	id, level, title string
	judge            check
}

// satre lists the controls in the order of their numbers.
func satre() []asked {
	var out []asked
	for _, s := range statements {
		out = append(out, asked{Control{Standard: StandardSATRE, Version: SATREVersion, ID: s.id, Title: s.title, Level: s.level, Check: "satre-" + s.id}, s.judge})
	}
	sortByNumber(out)
	return out
}

var statements = []statement{
	// What the product makes true by itself.
	{"1.5.03", mandatory, "Who somebody is decides what they reach", onAzure(identityDecides, signInRequired)},
	{"1.5.05", mandatory, "People and services prove who they are", onAzure(provenIdentity, signInRequired)},
	{"1.5.06", mandatory, "One person has one sign-in, and what they do is traced to it", onAzure(oneSignIn, tracedPeople)},
	{"2.1.01", mandatory, "Data does not leave by the clipboard", onAzure(notebookClipboard, noDesktop)},
	{"2.1.05", mandatory, "People are told how to use tools and data", document("Guides and a reference come with the program.", "docs/ and flowehr help")},
	{"2.1.08", mandatory, "A shared service does not join projects", isolated("The feature store is one for all projects.")},
	{"2.1.14", mandatory, "People's work and data are apart on every machine", isolated("One cluster runs the pipelines of all projects.")},
	{"2.2.01", mandatory, "Deploying is written down", document("A plan is shown, approved and recorded before anything is made.", "flowehr plan, flowehr deploy")},
	{"2.2.03", mandatory, "Changing is written down", document("A change is a plan like the first deployment, and the record says who applied it.", "flowehr plan, flowehr deploy")},
	{"2.2.04", mandatory, "Changes are tried before they reach production", triedFirst},
	{"2.2.06", mandatory, "Taking down is written down", document("Everything that was made is listed, removed and shown to be gone.", "flowehr destroy")},
	{"2.2.09", mandatory, "The network is looked after", onAzure(subnetsGrouped, ownerOfMachine("The network of this machine is not the product's."))},
	{"2.2.10", mandatory, "Projects do not reach each other", isolated("All projects share one network.")},
	{"2.2.11", mandatory, "The internet is not reached unless allowed", probed(ProbeOutbound, onAzure(outboundClosed, ownerOfMachine("What this machine may reach is decided by its own firewall.")))},
	{"2.2.13", mandatory, "Use is recorded", feature(FeatureUsage, "People, projects, data sets and runs are counted.")},
	{"2.4.01", mandatory, "Configuring is written down", document("Every key of the definition is checked by a published schema.", "flowehr schema and the reference")},
	{"2.4.05", mandatory, "A system that does not comply can be replaced", probed(ProbeRestore, someoneElse("The definition makes the system anew; that data comes back is shown by a restore that was tried.", "Restore a backup into a second environment and record it."))},
	{"2.5.03", mandatory, "Sign-in, administration, access and egress are logged so that nobody can change it, and looked at", probed(ProbeAudit, onAzure(securityLogs, auditWritten))},
	{"2.8.01", mandatory, "Data at rest is encrypted", probed(ProbeAtRest, onAzure(encryptedAtRest, ownerOfMachine("Whether the disk of this machine is encrypted is not the product's to see.")))},
	{"2.8.02", mandatory, "Data on its way is encrypted", onAzure(encryptedInTransit, sourcesEncrypted)},
	{"3.1.04", mandatory, "Data comes in by a process that enforces the rules", reviewedSources},
	{"3.1.05", mandatory, "Data goes out by a process that enforces the rules", probed(ProbeEgress, feature(FeatureAirlock, "Data goes out through the airlock."))},
	{"3.1.06", mandatory, "Taking data out is a permission of each person, from the owner of the data", feature(FeatureGrants, "Permissions are of one person, for one data set, with an end.")},
	{"3.1.08", mandatory, "What data is held is on record", feature(FeatureDatasets, "The catalogue has description, source, contact, projects and dates.")},
	{"3.1.12", mandatory, "Data is kept from leaving otherwise", probed(ProbeEgress, onAzure(noOtherWayOut, ownerOfMachine("Whoever administers this machine can copy its disk.")))},
	{"3.2.01", mandatory, "Nobody shares an account", onAzure(noSharedAccounts, signInRequired)},
	{"3.2.03", mandatory, "People get the data that they need and no more", leastData},
	{"3.2.04", mandatory, "Sign-in takes a second factor", secondFactor},
	{"4.3.01", mandatory, "Everything is documented", document("The reference is generated from the program and checked against it.", "docs/")},

	// What the product can enforce or show, and an organisation decides.
	{"1.2.02", mandatory, "Policies have versions", codeReviewed("Rules that are part of the definition have versions; policies of the organisation are its own.")},
	{"1.4.02", mandatory, "Approvals with an end are enforced", approvedUntil},
	{"1.4.04", mandatory, "The end of a project is prepared", someoneElse("flowehr destroy closes an environment; when a project ends is decided by its owner.", "The owner of the project.")},
	{"1.5.01", mandatory, "People are accredited", feature(FeatureTraining, "Accreditation is kept with the person, and lapses.")},
	{"1.5.04", mandatory, "The data controller agrees before access", feature(FeatureGrants, "A grant records who agreed.")},
	{"1.6.04", mandatory, "Training is on record", feature(FeatureTraining, "Training is kept with the person, and lapsed training takes access away.")},
	{"2.1.09", mandatory, "Telemetry is known and weighed", document("The program sends nothing to its authors; telemetry of pipelines and apps stays in the environment's own workspace.", "docs/")},
	{"2.1.10", mandatory, "People have the applications that they need", someoneElse("Only those who do the work can tell.", "The project's owner asks them.")},
	{"2.3.01", mandatory, "What a project needs is known before it starts", costKnown},
	{"2.3.03", mandatory, "Resources are given to projects", budgeted},
	{"2.3.04", mandatory, "Projects do not use more than they were given", budgeted},
	{"2.5.01", mandatory, "Rules for kinds of data are kept", someoneElse("Which rules a kind of data has is decided by law and contract.", "The information governance team.")},
	{"2.6.04", mandatory, "An incident is answered", feature(FeatureFreeze, "An environment can be frozen, and its evidence exported.")},
	{"2.7.02", mandatory, "Security updates are applied", feature(FeatureDependency, "What is out of date is reported.")},
	{"3.1.03", mandatory, "Data is classified", tiered},
	{"3.1.09", mandatory, "Data is deleted when it has to be", feature(FeatureRetention, "How long data is kept is in the definition.")},
	{"3.1.17", mandatory, "It is known which kinds of data are allowed", tiered},
	{"3.3.04", mandatory, "Outputs are checked for disclosure", feature(FeatureDisclosure, "A release has a recorded check.")},
	{"3.3.05", mandatory, "It is known who checks", feature(FeatureDisclosure, "A reviewer is not who asked.")},
	{"3.3.07", mandatory, "Outputs that nobody can read, such as weights of models, are checked too", feature(FeatureDisclosure, "They are a kind of their own in the airlock.")},
	{"4.4.01", mandatory, "Costs are known before a project starts", costKnown},

	// What is cheap to have.
	{"1.4.06", wished, "Projects are registered", projectsNamed},
	{"2.2.05", wished, "Development looks like production", document("Every environment is made from the same definition, with its own settings on top.", "flowehr plan")},
	{"2.2.12", wished, "Wrong settings are noticed", feature(FeatureDrift, "What stands is compared with the definition.")},
	{"2.2.14", wished, "Who read which data, and when, is recorded", onAzure(readsRecorded, auditWritten)},
	{"2.2.15", wished, "Use of computers is recorded", feature(FeatureUsage, "Runs and their time are counted.")},
	{"2.4.02", wished, "Configuring is automatic", document("Nothing is configured by hand.", "flowehr deploy")},
	{"2.4.03", wished, "Configuration is checked to be valid", document("A definition that is wrong is refused before anything is made.", "flowehr validate")},
	{"2.4.04", wished, "Configuration is checked again and again", feature(FeatureScheduledCI, "A plan runs on a schedule.")},
	{"2.6.01", wished, "Data is backed up", onAzure(backedUp, feature(FeatureBackup, "Backups are made."))},
	{"2.6.03", wished, "Backups are tried", probed(ProbeRestore, someoneElse("Nobody has restored one yet, as far as is known.", "Restore a backup into a second environment and record it."))},
	{"2.7.01", wished, "Weaknesses are looked for", scanned},
	{"2.8.05", wished, "Keys are managed", onAzure(func(v *view) Finding { return worst(storageOwnKey(v), vaultPurge(v)) }, ownerOfMachine("Keys of the disk are the machine's."))},
	{"3.1.10", wished, "Deletion is proven", feature(FeatureDestroy, "Taking down ends in a proof.")},
	{"3.1.11", wished, "How data was changed is on record", feature(FeatureLineage, "Lineage is recorded by each run.")},
	{"3.1.16", wished, "There is a plan for what machine learning leaves behind", feature(FeatureDisclosure, "Models are a kind of output of their own.")},
	{"3.1.19", wished, "There are tiers", tiered},
	{"3.1.20", wished, "Descriptions are checked for disclosure as well", feature(FeatureDisclosure, "A release has a recorded check.")},
	{"3.3.08", wished, "A part of the check is automatic", feature(FeatureDisclosure, "Small numbers are found by the program.")},
	{"3.3.09", wished, "Checks are kept so that programs can read them", feature(FeatureDisclosure, "A release has a recorded check.")},
	{"3.4.01", wished, "There is a catalogue", feature(FeatureDatasets, "The catalogue lists what is held.")},
	{"3.4.04", wished, "There is made-up data to work with", document("The program makes up patients, the same for the same seed.", "flowehr synth")},
	{"4.4.02", wished, "Costs are known per project", budgeted},
}
