package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// approvalMinder lets a private endpoint of the data factory in, which stands in a network that Azure manages and stays pending
// until whoever owns the other side says so
// (learn.microsoft.com/azure/data-factory/managed-virtual-network-private-endpoint). The endpoint belongs to a stack, and its
// connection goes with it, so there is nothing to take away.
type approvalMinder struct{ c *cloud.Client }

// A connection shows some minutes after its endpoint stands, and is approved some minutes after it was.
const (
	approvalPause = 10 * time.Second
	approvalLimit = 15 * time.Minute
)

// What a connection can be. A rejected one, and one whose endpoint has gone, stay so.
const (
	connectionApproved = "Approved"
	connectionPending  = "Pending"
)

// connection is a private endpoint as the resource that it leads to lists it.
type connection struct {
	ID         string `json:"id"`
	Properties struct {
		Endpoint struct {
			ID string `json:"id"`
		} `json:"privateEndpoint"`
		State connectionState `json:"privateLinkServiceConnectionState"`
	} `json:"properties"`
}

type connectionState struct {
	Status      string `json:"status"`
	Description string `json:"description,omitempty"`
}

// ours lists the connections of the endpoint. It stands in a subscription of Microsoft's; its name is the factory's and its own.
func (m approvalMinder) ours(ctx context.Context, s azure.ApprovalSpec) (approved, pending []connection, err error) {
	end := strings.ToLower("/privateEndpoints/" + s.Factory + "." + s.Endpoint)
	err = m.c.Pages(ctx, cloud.ARM(), versioned(s.Target+"/privateEndpointConnections", typeOf(s.Target)), func(raw json.RawMessage) error {
		var one connection
		if err := json.Unmarshal(raw, &one); err != nil {
			return fmt.Errorf("private endpoint of %s: %w", s.Target, err)
		}
		if !strings.HasSuffix(strings.ToLower(one.Properties.Endpoint.ID), end) {
			return nil
		}
		switch one.Properties.State.Status {
		case connectionApproved:
			approved = append(approved, one)
		case connectionPending:
			pending = append(pending, one)
		}
		return nil
	})
	return approved, pending, err
}

// ensure approves the connection once it shows, and waits until it counts. Of two that ask under one name one is not ours, and
// nobody but a person can tell which.
func (m approvalMinder) ensure(ctx context.Context, s azure.ApprovalSpec, t task) (made, error) {
	t.in.Note("letting the data factory's private endpoint in")
	said := false
	err := until(ctx, m.c, "approve private endpoint "+s.Endpoint+" of "+s.Factory, approvalPause, approvalLimit, func() (bool, error) {
		approved, pending, err := m.ours(ctx, s)
		switch {
		case err != nil:
			return false, err
		case len(pending) > 1 || len(pending) > 0 && len(approved) > 0 && !said:
			return false, fmt.Errorf("several private endpoints ask under the name %s.%s to be let in to %s: look at them in the portal, under Networking, and approve the data factory's",
				s.Factory, s.Endpoint, nameOf(s.Target))
		case len(pending) == 0:
			return len(approved) > 0, nil
		case said:
			return false, nil
		}
		said = true
		return false, m.approve(ctx, s, pending[0])
	})
	return approvalMade(s), err
}

func (m approvalMinder) approve(ctx context.Context, s azure.ApprovalSpec, c connection) error {
	body := map[string]any{"properties": map[string]any{"privateLinkServiceConnectionState": connectionState{connectionApproved, "Approved by FlowEHR"}}}
	_, err := m.c.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: versioned(c.ID, typeOf(s.Target)), Body: body})
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		if _, decided := e.Because("PrivateEndpointConnectionStatusNotPending"); decided {
			return nil // by an earlier request whose answer was lost; the next look tells
		}
	}
	return err
}

func approvalMade(s azure.ApprovalSpec) made {
	return made{id: s.Target + "/privateEndpointConnections/" + s.Factory + "." + s.Endpoint}
}

func (m approvalMinder) read(ctx context.Context, s azure.ApprovalSpec, _ string) (azure.ApprovalSpec, made, error) {
	approved, pending, err := m.ours(ctx, s)
	if cloud.NotFound(err) {
		err = nil
	}
	if err != nil || len(approved) == 0 || len(pending) > 0 {
		return s, made{}, cmpErr(err, gone("approval of private endpoint %s of %s", s.Endpoint, s.Factory))
	}
	return s, approvalMade(s), nil
}

func (m approvalMinder) remove(context.Context, azure.ApprovalSpec, string) error { return nil }
