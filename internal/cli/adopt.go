package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/flowehr/flowehr/internal/target/local"
)

// adoptChanges makes the serving process read the definition again whenever it is told that a change of it was deployed
// (by SIGHUP, as servers are used to), until ctx ends. A definition that has become wrong is not adopted.
func (a *app) adoptChanges(ctx context.Context, h *local.Host, log *slog.Logger) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	go func() {
		defer signal.Stop(told)
		for {
			select {
			case <-ctx.Done():
				return
			case <-told:
			}
			d, err := a.load(ctx, loadOptions{here: true})
			if err == nil {
				err = h.Adopt(d.env, d.lookup)
			}
			if err != nil {
				log.Error("the changed definition was not adopted", "error", err)
				continue
			}
			log.Info("the changed definition is in use")
		}
	}()
}

// tellRunning lets the process that serves the environment know that a change was deployed.
func (a *app) tellRunning(d *definition) error {
	r, on, err := local.FindRunning(d.paths)
	switch {
	case err != nil:
		return err
	case !on:
		a.next("Run it with: flowehr up")
		return nil
	case r.PID <= 0:
		return hint(fmt.Errorf("%s runs, but has not said as which process", d.env.Suffix), "It uses the change after: flowehr down && flowehr up -d")
	}
	if err := syscall.Kill(r.PID, syscall.SIGHUP); err != nil {
		return hint(fmt.Errorf("%s runs as process %d, which cannot be told of the change: %w", d.env.Suffix, r.PID, err),
			"It uses the change after: flowehr down && flowehr up -d")
	}
	a.next("%s runs; what begins from now on uses the change.", d.env.Suffix)
	return nil
}
