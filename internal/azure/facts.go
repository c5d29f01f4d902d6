package azure

// Facts are what lowering must know of the world and the definition does not say. The same environment and facts give the
// same resources.
type Facts struct {
	Subscription string   `json:"subscription"`
	Tenant       string   `json:"tenant"`
	Deployer     Deployer `json:"deployer"`
	Automation   bool     `json:"automation"`           // run by CI: public access is off
	PublicIP     string   `json:"publicIp,omitempty"`   // of the deployer; empty in automation
	CI           *CIFacts `json:"ci,omitempty"`         // the bootstrap environment, when there is one
	AddressSpace string   `json:"addressSpace"`         // what the virtual network gets
	Databricks   []string `json:"databricks,omitempty"` // address ranges of the region's control plane
}

// Deployer is who deploys.
type Deployer struct {
	ObjectID string `json:"objectId"`
	Kind     string `json:"kind"` // User or ServicePrincipal
	Name     string `json:"name"`
}

// CIFacts name what bootstrap made.
type CIFacts struct {
	Group   string `json:"group"`
	Network string `json:"network"`
}
