package azure

func (t *Target) stackKeepers() map[string]keeper      { return nil }
func (t *Target) directoryKeepers() map[string]keeper  { return nil }
func (t *Target) vaultKeepers() map[string]keeper      { return nil }
func (t *Target) databricksKeepers() map[string]keeper { return nil }
func (t *Target) storeKeepers() map[string]keeper      { return nil }
func (t *Target) gitHubKeepers() map[string]keeper     { return nil }
