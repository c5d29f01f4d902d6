package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/service/portal"
	"github.com/flowehr/flowehr/internal/supervise"
)

// ServeOptions say what else happens while the environment is served.
type ServeOptions struct {
	// Setup is called when the database server answers, before pipelines run: it applies changes. An error ends Serve.
	Setup func(ctx context.Context) error
	Sink  flowehr.Sink // told of the services
}

// Serve runs the environment until ctx ends: the database server, then Setup, then the pipeline engine and the portal.
// ready is called once, with the portal's address, when everything answers. Of several processes one serves; to the
// others the error is an *AlreadyRunningError.
func (h *Host) Serve(ctx context.Context, o ServeOptions, ready func(portal string)) error {
	place, err := occupy(h.Paths.Running, Running{PID: os.Getpid(), Who: h.Who, Since: h.Now()})
	if err != nil {
		return err
	}
	defer place.release()
	// The address is taken first: when somebody else has it nothing is started.
	listener, err := listen(ctx, h.Environment.Local.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	address := "http://" + listener.Addr().String()
	// So is the audit log: where nothing can be recorded, nothing may happen.
	start := audit.Entry{Action: "environment.start", Subject: "environment/" + h.Environment.Suffix, Outcome: "ok"}
	if err := h.Audit(ctx, start); err != nil {
		return err
	}

	group := supervise.NewGroup(supervise.Options{ReadyTimeout: 10 * time.Minute, OnChange: func(c supervise.Change) { h.noteService(c, o.Sink) }})
	h.mu.Lock()
	h.services = group.States
	h.mu.Unlock()
	group.Add(h.server)
	group.Add(setupService{h, o.Setup}, h.server.Name())
	group.Add(engineService{h}, "changes")
	group.Add(keepingService{h}, "changes")
	group.Add(portalService{h, listener, address}, "engine")

	publish := func(ready bool) error {
		return place.update(func(r *Running) { r.Ready, r.Portal, r.Services = ready, address, serviceInfos(group.States()) })
	}
	stopped := make(chan struct{})
	defer close(stopped)
	err = group.Run(ctx, func() {
		if err := publish(true); err != nil {
			h.Logger.Error("tell that the environment runs", "error", err)
		}
		go refresh(stopped, func() { _ = publish(true) })
		ready(address)
	})
	outcome := audit.Entry{Action: "environment.stop", Subject: "environment/" + h.Environment.Suffix, Outcome: "ok"}
	if err != nil {
		outcome.Outcome, outcome.Detail = "failed", map[string]string{"error": err.Error()}
	}
	return errors.Join(err, h.Audit(context.WithoutCancel(ctx), outcome))
}

// refresh keeps what other processes read of the services up to date.
func refresh(stopped <-chan struct{}, publish func()) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-tick.C:
			publish()
		}
	}
}

func (h *Host) noteService(c supervise.Change, sink flowehr.Sink) {
	if c.LastError != nil {
		h.Logger.Warn("service", "name", c.Name, "phase", c.Phase, "error", c.LastError)
	} else {
		h.Logger.Info("service", "name", c.Name, "phase", c.Phase)
	}
	if sink != nil {
		e := flowehr.Event{At: h.Now(), Kind: flowehr.EventService, Ref: flowehr.Ref{Kind: "service", Name: c.Name}, Text: string(c.Phase)}
		if c.LastError != nil {
			e.Err = c.LastError.Error()
		}
		sink(e)
	}
}

// listen takes the portal's address. Anything but loopback has to be written in the definition by somebody who means
// it, and the portal refuses other host names than its own there.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s of the portal is taken by another program: set another one with local.listen in config.local.yaml", address)
	}
	if err != nil {
		return nil, fmt.Errorf("address %s of the portal (local.listen): %w", address, err)
	}
	return l, nil
}

// setupService applies changes once and then stands for them.
type setupService struct {
	host *Host
	do   func(context.Context) error
}

// Name returns "changes".
func (s setupService) Name() string { return "changes" }

// Run applies the changes. A failure is shown to the person, who mends the definition: trying again cannot.
func (s setupService) Run(ctx context.Context, ready func()) error {
	if s.do != nil {
		if err := s.do(ctx); err != nil {
			return supervise.Permanent(err)
		}
	}
	ready()
	<-ctx.Done()
	return nil
}

// engineService runs pipelines.
type engineService struct{ host *Host }

// Name returns "engine".
func (s engineService) Name() string { return "engine" }

// Run claims and carries on runs until ctx ends.
func (s engineService) Run(ctx context.Context, ready func()) error {
	pool, err := s.host.pool(ctx, controlDatabase)
	if err != nil {
		return err
	}
	// The definition may be as it was and the program newer: its tables are brought up to date at every start.
	if err := engine.Migrate(ctx, pool); err != nil {
		return err
	}
	store, err := s.host.featureStore(ctx)
	if err != nil {
		return err
	}
	e := engine.New(engine.Options{
		Pool:       pool,
		Activities: activity.New(activity.Deps{Lake: s.host.lake, Store: store, Sources: s.host, Now: s.host.Now}),
		Audit:      s.host.Audit,
		Now:        s.host.Now,
		Logger:     s.host.Logger.With("service", "engine"),
		WorkerID:   fmt.Sprintf("%s/%d", s.host.Who, os.Getpid()),
		Factory:    "adf-" + s.host.Environment.Suffix,
		Keep:       time.Duration(s.host.Environment.Sizes.LogRetentionDays) * 24 * time.Hour,
		// The lake shares memory_mb among up to four writers; more at once would only wait for it.
		MaxActivities: 4,
	})
	return e.Run(ctx, ready)
}

// keepingService tidies the lake once a day: what no reader can need any more is deleted.
type keepingService struct{ host *Host }

// Name returns "housekeeping".
func (s keepingService) Name() string { return "housekeeping" }

// Run tidies for the first time an hour after the start, so that starting is not slowed down, and then daily. A table
// that cannot be tidied is logged and tried again the next day.
func (s keepingService) Run(ctx context.Context, ready func()) error {
	ready()
	next := time.NewTimer(time.Hour)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		files, err := s.host.lake.VacuumAll(ctx, lake.LeastKept)
		log := s.host.Logger.With("service", "housekeeping", "files", files)
		if err != nil {
			log.Warn("tidied the lake in part", "error", err)
		} else {
			log.Info("tidied the lake")
		}
		next.Reset(24 * time.Hour)
	}
}

// portalService serves the portal.
type portalService struct {
	host     *Host
	listener net.Listener
	address  string
}

// Name returns "portal".
func (s portalService) Name() string { return "portal" }

// Run answers requests until ctx ends, and then lets those that are under way finish.
func (s portalService) Run(ctx context.Context, ready func()) error {
	p, err := s.host.newPortal(s.address)
	if err != nil {
		return supervise.Permanent(err)
	}
	server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 16,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.listener) }()
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("portal: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return server.Close()
	}
	return nil
}

// grants keeps sessions and one-time links of the portal.
func (h *Host) grants() (*portal.FileGrants, error) {
	return portal.NewFileGrants(filepath.Join(h.Paths.Data, "portal"), h.Now)
}

// SignInLink gives out a link with which the person signs in to the portal at address, once.
func (h *Host) SignInLink(ctx context.Context, address string) (string, error) {
	grants, err := h.grants()
	if err != nil {
		return "", err
	}
	if err := h.Audit(ctx, audit.Entry{Action: "portal.link", Subject: "person/" + h.Who, Outcome: "ok"}); err != nil {
		return "", err
	}
	return portal.NewLink(ctx, grants, h.Now, address, portal.Person{ID: h.Who})
}
