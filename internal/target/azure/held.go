package azure

import (
	"context"

	"github.com/flowehr/flowehr/internal/azure"
)

// Held lists what was deleted softly and still holds a name of the environment, so that somebody can choose what becomes of it
// before anything is made.
func (t *Target) Held(ctx context.Context, names azure.Names) ([]SoftDeleted, error) {
	return t.heldBy(ctx, names)
}
