package statestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// DefaultContainer is the container of states in the account that [EnsureAccount] makes.
const DefaultContainer = "flowehr-state"

// AccountName is the storage account of the states of everything that has a flowehr_id in a subscription: 22 lower-case letters
// and digits, so that every laptop and CI finds the same without being told.
func AccountName(flowehrID, subscription string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(flowehrID + "\x00" + subscription)))
	return "flwrst" + hex.EncodeToString(sum[:])[:16]
}

// GroupName is the resource group of that account. It is not one of an environment's, which are destroyed.
func GroupName(flowehrID string) string { return "rg-flowehr-state-" + strings.ToLower(flowehrID) }

// blobContributor is the built-in role Storage Blob Data Contributor.
const blobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

const typeAccount = "Microsoft.Storage/storageAccounts"

// Stands reports whether the account is there. Its blobs cannot be asked before that: its host has no address.
func Stands(ctx context.Context, c *cloud.Client, group, account string) (bool, error) {
	err := c.Get(ctx, cloud.ARM(), at(arm.ID(c.Subscription(), group, typeAccount, account), typeAccount), nil)
	if cloud.NotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// EnsureAccount makes the resource group and the storage account when they are missing: blobs are never public, there are no
// account keys, versions and what is deleted are kept for thirty days. Who is signed in gets the right to read and write
// blobs, and is waited for until that is so. An account that stands is left as it is.
func EnsureAccount(ctx context.Context, c *cloud.Client, group, account, location string) error {
	groupID := arm.GroupID(c.Subscription(), group)
	id := arm.ID(c.Subscription(), group, typeAccount, account)
	err := c.Get(ctx, cloud.ARM(), at(id, typeAccount), nil)
	if err != nil && !cloud.NotFound(err) {
		return fmt.Errorf("look for storage account %s: %w", account, err)
	}
	if err != nil {
		if err := put(ctx, c, groupID, "Microsoft.Resources/resourceGroups", arm.Object{"location": location, "tags": arm.Object{"flowehr": "state"}}); err != nil {
			return fmt.Errorf("make resource group %s: %w", group, err)
		}
		if err := put(ctx, c, id, typeAccount, accountBody(location)); err != nil {
			return fmt.Errorf("make storage account %s: %w", account, err)
		}
	}
	// These may be repeated, and a run that was cut short after the account was made comes here again.
	keep := arm.Object{"enabled": true, "days": 30}
	if err := put(ctx, c, id+"/blobServices/default", typeAccount+"/blobServices", arm.Object{"properties": arm.Object{
		"isVersioningEnabled": true, "deleteRetentionPolicy": keep, "containerDeleteRetentionPolicy": keep}}); err != nil {
		return fmt.Errorf("keep versions in storage account %s: %w", account, err)
	}
	return Allow(ctx, c, group, account)
}

// Allow gives who is signed in the right to read and write the blobs of an account that somebody else made, and waits until
// that is so. It needs the right to give roles, which owners of the subscription have.
func Allow(ctx context.Context, c *cloud.Client, group, account string) error {
	if err := grant(ctx, c, arm.ID(c.Subscription(), group, typeAccount, account)); err != nil {
		return fmt.Errorf("give the right to storage account %s: %w", account, err)
	}
	return effective(ctx, c, account)
}

// NotAllowed reports whether err says that who is signed in has no role on the blobs of the account.
func NotAllowed(err error) bool { return code(err) == "AuthorizationPermissionMismatch" }

func accountBody(location string) arm.Object {
	return arm.Object{"location": location, "kind": "StorageV2", "sku": arm.Object{"name": "Standard_GRS"}, "tags": arm.Object{"flowehr": "state"},
		"properties": arm.Object{
			"accessTier": "Hot", "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true,
			"allowBlobPublicAccess": false, "allowSharedKeyAccess": false, "defaultToOAuthAuthentication": true, "allowCrossTenantReplication": false,
			"encryption": arm.Object{"keySource": "Microsoft.Storage", "requireInfrastructureEncryption": true,
				"services": arm.Object{"blob": arm.Object{"enabled": true}}},
		}}
}

// grant gives the role to who is signed in. The assignment's name follows from what it is about, so it is made once.
func grant(ctx context.Context, c *cloud.Client, account string) error {
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if who.ObjectID == "" {
		return errors.New("the token does not say who is signed in")
	}
	const typ = "Microsoft.Authorization/roleAssignments"
	name := uuid.NewSHA1(uuid.NameSpaceURL, []byte(strings.ToLower(account)+"/"+blobContributor+"/"+who.ObjectID)).String()
	err = put(ctx, c, arm.On(account, typ, name), typ, arm.Object{"properties": arm.Object{
		"roleDefinitionId": arm.SubscriptionID(c.Subscription(), "Microsoft.Authorization/roleDefinitions", blobContributor),
		"principalId":      who.ObjectID, "principalType": who.Kind}})
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		if _, exists := e.Because("RoleAssignmentExists"); exists {
			return nil
		}
	}
	return err
}

// A role that was just given takes up to ten minutes to have effect (learn.microsoft.com/azure/role-based-access-control/
// troubleshooting).
const (
	effectPause = 5 * time.Second
	effectLimit = 10 * time.Minute
)

func effective(ctx context.Context, c *cloud.Client, account string) error {
	for waited := time.Duration(0); ; waited += effectPause {
		_, err := c.Do(ctx, cloud.Blobs(account), cloud.Request{Method: http.MethodGet, Path: "/?comp=list&maxresults=1",
			Header: map[string]string{"x-ms-version": blobVersion, "Accept": "*/*"}})
		if err == nil {
			return nil
		}
		if c := code(err); c != "AuthorizationPermissionMismatch" && c != "AuthorizationFailure" || waited >= effectLimit {
			return fmt.Errorf("reach storage account %s: %w", account, err)
		}
		if err := c.Wait(ctx, effectPause); err != nil {
			return err
		}
	}
}

func at(id, typ string) string {
	version, _ := arm.Version(typ)
	return cloud.At(id, version)
}

func put(ctx context.Context, c *cloud.Client, id, typ string, body any) error {
	_, err := c.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: at(id, typ), Body: body})
	return err
}
