package activity

import (
	"context"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory"
)

// limited gives ctx the time that the property key allows, a time span such as 02:00:00. The cause of its end is an
// error that names the property, so that nobody takes it for the activity's own timeout or a cancellation. Without the
// property there is no limit here; Data Factory has one of two hours.
func (p *properties) limited(ctx context.Context, key string) (context.Context, context.CancelFunc, error) {
	text := p.text(key)
	if text == "" {
		return ctx, func() {}, nil
	}
	d, err := factory.ParseTimespan(text)
	if err != nil || d <= 0 {
		return nil, nil, refuse(CodeInvalid, "%s: %s must be a time span such as 02:00:00, not %s", p.where, key, clip(text))
	}
	late := &engine.Error{Code: CodeTimeout, Message: p.where + ": not done within the " + text + " of " + key, Type: failureUser}
	ctx, cancel := context.WithTimeoutCause(ctx, d, late)
	return ctx, cancel, nil
}

// plainSettings reads an object of settings that may say nothing but its type.
func (p *properties) plainSettings(key string) error {
	settings := p.inner(key)
	settings.text("type")
	return settings.rest()
}
