package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Group is a set of services with their order. Add all of them, then call Run once.
type Group struct {
	opts    Options
	members []*member
	byName  map[string]*member

	failures chan error // each member tells at most once that it is beyond help; there is room for all

	mu     sync.Mutex // guards the states of the members
	notify sync.Mutex // held while OnChange runs, so that it sees changes in order
}

// NewGroup returns an empty group.
func NewGroup(o Options) *Group {
	return &Group{opts: o.withDefaults(), byName: map[string]*member{}}
}

// Add puts s in the group; it is started when the services named by after are ready, and stopped before them. They may
// be added later than s. What is wrong with names is found by Run.
func (g *Group) Add(s Service, after ...string) {
	m := newMember(g, s, after)
	g.members = append(g.members, m)
	g.byName[s.Name()] = m
}

// States returns the states of all services in the order in which they were added. It may be called at any time.
func (g *Group) States() []State {
	g.mu.Lock()
	defer g.mu.Unlock()
	states := make([]State, len(g.members))
	for i, m := range g.members {
		states[i] = m.state
	}
	return states
}

// Run starts all services, calls ready when every one of them is ready, and keeps them running until ctx ends; then it
// stops them and returns nil. When a service cannot be started, Run stops the others and returns why. After ready, a
// service that fails is restarted for as long as it takes, and the others go on. Services that did not stop are named in
// the error.
func (g *Group) Run(ctx context.Context, ready func()) error {
	order, err := g.order()
	if err != nil {
		return err
	}
	for _, m := range order {
		m.start(context.WithoutCancel(ctx))
	}
	err = g.awaitReady(ctx, order)
	if err == nil && ctx.Err() == nil {
		ready()
		<-ctx.Done()
	}
	return errors.Join(err, g.stop(order))
}

// awaitReady returns nil when all are ready or ctx ended.
func (g *Group) awaitReady(ctx context.Context, order []*member) error {
	for _, m := range order {
		select {
		case <-m.ready:
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.ready:
		case err := <-g.failures:
			return err
		}
	}
	return nil
}

// stop stops the members in reverse order: each one when all that need it have ended, so that those which do not need
// each other stop at the same time.
func (g *Group) stop(order []*member) error {
	errs := make([]error, len(order))
	gone := make(map[*member]chan struct{}, len(order))
	for _, m := range order {
		gone[m] = make(chan struct{})
	}
	var all sync.WaitGroup
	for i, m := range order {
		var dependents []chan struct{}
		for _, other := range order {
			if slices.Contains(other.after, m.service.Name()) {
				dependents = append(dependents, gone[other])
			}
		}
		all.Go(func() {
			defer close(gone[m])
			for _, d := range dependents {
				<-d
			}
			errs[i] = m.stop(g.opts.StopTimeout)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// order sorts the members so that each stands after what it needs, and otherwise as they were added.
func (g *Group) order() ([]*member, error) {
	if len(g.members) == 0 {
		return nil, errors.New("group has no services")
	}
	if len(g.byName) != len(g.members) {
		return nil, errors.New("two services have the same name")
	}
	const visiting, done = 1, 2
	mark := map[*member]int{}
	var order []*member
	var visit func(*member) error
	visit = func(m *member) error {
		switch mark[m] {
		case done:
			return nil
		case visiting:
			return fmt.Errorf("service %s needs itself in the end", m.service.Name())
		}
		mark[m] = visiting
		for _, name := range m.after {
			need, ok := g.byName[name]
			if !ok {
				return fmt.Errorf("service %s needs %s, which is not in the group", m.service.Name(), name)
			}
			if err := visit(need); err != nil {
				return err
			}
		}
		mark[m] = done
		order = append(order, m)
		return nil
	}
	for _, m := range g.members {
		if err := visit(m); err != nil {
			return nil, err
		}
	}
	for _, m := range order {
		for _, name := range m.after {
			m.needs = append(m.needs, g.byName[name].ready)
		}
	}
	g.failures = make(chan error, len(order))
	return order, nil
}

// set changes the state of m and reports it. A new error is kept; nil keeps the last one.
func (g *Group) set(m *member, phase Phase, err error) {
	g.notify.Lock()
	defer g.notify.Unlock()
	g.mu.Lock()
	change := Change{From: m.state.Phase}
	m.state.Phase, m.state.Since, m.state.Restarts = phase, time.Now(), m.restarts
	if err != nil {
		m.state.LastError = err
	}
	change.State = m.state
	g.mu.Unlock()
	if g.opts.OnChange != nil {
		g.opts.OnChange(change)
	}
}
