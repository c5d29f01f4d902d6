package automation

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"text/template"
	"time"

	"filippo.io/edwards25519"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Runners are machines of our own that run the jobs of one repository. They have no address on the internet and take no
// connection. A machine registers itself at boot with a token that a person put into the vault ([Register]) and that is good
// for an hour; so nothing on a machine, in its image or in the template can register another.
type Runners struct {
	Repository string // owner/name; empty means no private runners
	Count      int    // 0 means 1
	Size       string // of the virtual machines; empty means [DefaultSize]
	NoGateway  bool   // the network reaches the internet by a route of yours; else a NAT gateway is made

	// SSHKey may sign in to the machines from within the network, when somebody must look into one. Empty means a key that
	// nobody has.
	SSHKey string

	// Version and SHA256 of the runner, for x64. Empty means [RunnerVersion]. It updates itself afterwards, which GitHub
	// demands.
	Version, SHA256 string
}

// The runner that machines begin with, https://github.com/actions/runner/releases.
const (
	RunnerVersion = "2.337.0"
	runnerSHA256  = "70920811a4f8ad4328818682bca5c6469c1c942fab52448868071d0063816613"
)

// DefaultSize is the size of the virtual machines.
const DefaultSize = "Standard_D2s_v5"

// registrationSecret is where the vault keeps the token.
const registrationSecret = "runner-registration"

func (r Runners) wanted() bool  { return r.Repository != "" }
func (r Runners) gateway() bool { return r.wanted() && !r.NoGateway }

var (
	sizePattern    = regexp.MustCompile(`^[A-Za-z0-9_]{1,60}$`)
	versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	digestPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (r Runners) check() error {
	switch {
	case !r.wanted():
		return nil
	case !repositoryPattern.MatchString(r.Repository):
		return fmt.Errorf("%q is no repository: want OWNER/NAME", r.Repository)
	case r.Count < 0 || r.Count > 20:
		return fmt.Errorf("%d runners: want 1 to 20", r.Count)
	case r.Size != "" && !sizePattern.MatchString(r.Size):
		return fmt.Errorf("%q is no size of a virtual machine", r.Size)
	case (r.Version == "") != (r.SHA256 == ""):
		return errors.New("a version of the runner needs its SHA-256, and the other way round")
	case r.Version != "" && (!versionPattern.MatchString(r.Version) || !digestPattern.MatchString(r.SHA256)):
		return fmt.Errorf("runner version %q with SHA-256 %q: want digits and points, and 64 hexadecimal digits", r.Version, r.SHA256)
	}
	return nil
}

// runners adds the machines, their identity and the vault of their token, which holds nothing else.
func (g ground) runners() {
	vault := g.tagged(arm.New("Microsoft.KeyVault/vaults", g.n.Vault, arm.Object{
		"tenantId": g.o.Tenant, "sku": arm.Object{"family": "A", "name": "standard"},
		"enableRbacAuthorization": true, "enableSoftDelete": true, "softDeleteRetentionInDays": 7,
		"publicNetworkAccess": "Enabled",
		"networkAcls": arm.Object{"bypass": "None", "defaultAction": "Deny", "ipRules": g.vaultIPRules(),
			"virtualNetworkRules": []arm.Object{{"id": g.subnetID(g.n.RunnerSubnet)}}},
	}))
	vault.DependsOn = []string{"network"}
	g.t.Add("vault", vault)
	g.t.Add("identity", g.tagged(arm.New("Microsoft.ManagedIdentity/userAssignedIdentities", g.n.Identity, nil)))
	vaultID := g.id("Microsoft.KeyVault/vaults", g.n.Vault)
	g.assign("readsToken", vaultReader, Principal{arm.Reference("identity", "principalId"), "ServicePrincipal"}, vaultID, "vault", "identity")
	for _, p := range g.o.People {
		g.assign("writesToken_"+symbol(p), vaultOfficer, p, vaultID, "vault")
	}
	if g.o.Runners.gateway() {
		g.gateway()
	}
	g.machines()
}

func (g ground) vaultIPRules() []arm.Object {
	rules := []arm.Object{}
	for _, a := range g.o.AllowedIP {
		if r, err := firewallRange(a); err == nil { // checked before
			rules = append(rules, arm.Object{"value": r})
		}
	}
	return rules
}

// gateway lets the machines out and nobody in.
func (g ground) gateway() {
	address := g.tagged(unlisted("Microsoft.Network/publicIPAddresses", g.n.Address, arm.Object{
		"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}))
	address.SKU = arm.Object{"name": "Standard"}
	g.t.Add("address", address)
	gateway := g.tagged(unlisted("Microsoft.Network/natGateways", g.n.Gateway, arm.Object{
		"publicIpAddresses": []arm.Object{{"id": g.id("Microsoft.Network/publicIPAddresses", g.n.Address)}}, "idleTimeoutInMinutes": 10}))
	gateway.SKU, gateway.DependsOn = arm.Object{"name": "Standard"}, []string{"address"}
	g.t.Add("gateway", gateway)
}

func (g ground) machines() {
	r := g.o.Runners
	size, key := r.Size, r.SSHKey
	if size == "" {
		size = DefaultSize
	}
	if key == "" {
		key = nobodysKey(g.n.ScaleSet)
	}
	profile := arm.Object{
		"osProfile": arm.Object{
			"computerNamePrefix": "runner", "adminUsername": "flowehr", "customData": base64.StdEncoding.EncodeToString(g.cloudInit()),
			"linuxConfiguration": arm.Object{"disablePasswordAuthentication": true,
				"ssh": arm.Object{"publicKeys": []arm.Object{{"path": "/home/flowehr/.ssh/authorized_keys", "keyData": arm.Literal(key)}}}},
		},
		"storageProfile": arm.Object{
			"imageReference": arm.Object{"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"},
			"osDisk":         arm.Object{"createOption": "FromImage", "caching": "ReadWrite", "diskSizeGB": 64, "managedDisk": arm.Object{"storageAccountType": "Premium_LRS"}},
		},
		"securityProfile": arm.Object{"securityType": "TrustedLaunch", "uefiSettings": arm.Object{"secureBootEnabled": true, "vTpmEnabled": true}},
		"networkProfile": arm.Object{"networkInterfaceConfigurations": []arm.Object{{"name": "nic", "properties": arm.Object{
			"primary": true, "enableIPForwarding": false,
			"networkSecurityGroup": arm.Object{"id": g.id("Microsoft.Network/networkSecurityGroups", g.n.SecurityGroup)},
			"ipConfigurations": []arm.Object{{"name": "internal", "properties": arm.Object{ // without a public address
				"primary": true, "subnet": arm.Object{"id": g.subnetID(g.n.RunnerSubnet)}}}},
		}}}},
	}
	set := g.tagged(unlisted("Microsoft.Compute/virtualMachineScaleSets", g.n.ScaleSet, arm.Object{
		"orchestrationMode": "Uniform", "overprovision": false, "singlePlacementGroup": false,
		"upgradePolicy": arm.Object{"mode": "Manual"}, "virtualMachineProfile": profile,
	}))
	set.SKU = arm.Object{"name": size, "tier": "Standard", "capacity": max(r.Count, 1)}
	set.Identity = arm.Object{"type": "UserAssigned", "userAssignedIdentities": arm.Object{
		g.id("Microsoft.ManagedIdentity/userAssignedIdentities", g.n.Identity): arm.Object{}}}
	set.DependsOn = []string{"network", "identity", "readsToken"}
	g.t.Add("runners", set)
}

//go:embed cloud-init.yaml.tmpl
var cloudInitText string

var cloudInit = template.Must(template.New("cloud-init").Parse(cloudInitText))

// cloudInit is what a machine does at its first boot. Everything that is filled in was checked to be a plain name.
func (g ground) cloudInit() []byte {
	r := g.o.Runners
	version, digest := r.Version, r.SHA256
	if version == "" {
		version, digest = RunnerVersion, runnerSHA256
	}
	var b bytes.Buffer
	err := cloudInit.Execute(&b, map[string]string{
		"Version": version, "SHA256": digest, "Repository": r.Repository, "Label": g.n.Label, "Vault": g.n.Vault, "Secret": registrationSecret,
		"Identity": g.id("Microsoft.ManagedIdentity/userAssignedIdentities", g.n.Identity),
	})
	if err != nil {
		panic("automation: cloud-init: " + err.Error()) // the template and what fills it stand in this package
	}
	return b.Bytes()
}

// nobodysKey is a public key of the form ssh-ed25519 to which nobody has the private one: Azure wants a key for every machine.
// It is a point of the curve found by hashing, so that its logarithm is unknown to whoever made it, and it is the same for the
// same name, so that a template does not change by itself.
func nobodysKey(name string) string {
	for n := uint32(0); ; n++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("flowehr runners "+name), n))
		if _, err := new(edwards25519.Point).SetBytes(sum[:]); err != nil {
			continue
		}
		var b []byte
		for _, part := range [][]byte{[]byte("ssh-ed25519"), sum[:]} { // RFC 8709, section 4
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
		}
		return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(b) + " nobody"
	}
}

// Registrar makes tokens with which runners register at a repository. It needs a person who administers the repository.
type Registrar interface {
	// RegistrationToken returns a token and when it ends, about an hour from now.
	RegistrationToken(ctx context.Context) (flowehr.Secret, time.Time, error)
}

// Register puts a registration token into the vault of the runners, where their machines wait for one at boot. Do it after the
// stack is deployed, and again when machines were added or made anew.
func Register(ctx context.Context, c *cloud.Client, from Registrar, o BootstrapOptions) (until time.Time, err error) {
	if !o.Runners.wanted() {
		return until, errors.New("there are no private runners to register")
	}
	token, until, err := from.RegistrationToken(ctx)
	if err != nil {
		return until, fmt.Errorf("registration token of %s: %w", o.Runners.Repository, err)
	}
	body := map[string]any{
		"value": token.Reveal(), "contentType": "registration token of GitHub runners",
		"attributes": map[string]any{"enabled": true, "exp": until.Unix()},
	}
	vault := o.Names().Vault
	err = c.Call(ctx, cloud.Vault(vault), http.MethodPut, "/secrets/"+registrationSecret+"?api-version=7.4", body, nil)
	if err != nil && strings.Contains(err.Error(), token.Reveal()) {
		return until, fmt.Errorf("secret %s of vault %s could not be written", registrationSecret, vault)
	}
	return until, err
}
