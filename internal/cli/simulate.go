package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/durable"
)

// simulatorVariable names a file that says how to reach a simulation which runs elsewhere.
const simulatorVariable = "FLOWEHR_AZURE_SIMULATOR"

// connection is how a simulation is reached, and who may sign in to it.
type connection struct {
	Address      string `json:"address"`
	CA           string `json:"ca"` // PEM
	Tenant       string `json:"tenant"`
	Subscription string `json:"subscription"`
	ClientID     string `json:"clientId"`
	Secret       string `json:"secret"` // of the simulation, worth nothing anywhere else
}

// simulation is a simulated Azure that a command works on.
type simulation struct {
	connection
	remote *azuresim.Remote
	close  func() error
}

func (a *app) newSimulatorCommand() *cobra.Command {
	var listen, world, file string
	c := &cobra.Command{
		Use:   "simulator",
		Short: "Run a simulation of Azure to practise on",
		Long: `Plays Azure, Entra, Databricks, Data Factory and GitHub on this machine until Ctrl-C, so that several commands and several
people can practise on one world. For a single command --simulate is enough. Nothing leaves this machine, nothing costs
anything, and what it shows about Azure is what the services' documents say, not proof.

Commands use it when ` + simulatorVariable + ` names the file of --connection.`,
		Example: "  flowehr simulator --connection sim.json &\n  " + simulatorVariable + "=sim.json flowehr deploy",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runSimulator(c.Context(), listen, world, file)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "loopback address to listen on")
	c.Flags().StringVar(&world, "world", "", "folder to keep the world in (default: it is forgotten at the end)")
	c.Flags().StringVar(&file, "connection", "flowehr-simulation.json", "file to write that says how to reach it")
	return c
}

func (a *app) runSimulator(ctx context.Context, listen, world, file string) error {
	s, err := startSimulation(ctx, listen, world, a.now)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(s.connection, "", "  ")
	if err == nil {
		err = durable.Replace(file, append(b, '\n'))
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	path, err := filepath.Abs(file)
	if err != nil {
		path = file
	}
	fmt.Fprintf(a.errOut, "%s The simulation of Azure answers at %s.\n", a.style(a.errOut).Done(), s.Address)
	a.next("Use it with: export %s=%s   Stop it: Ctrl-C", simulatorVariable, path)
	<-ctx.Done()
	return errors.Join(s.close(), os.Remove(file))
}

// openSimulation returns the simulation that the command is to work on: the one that the environment variable names, or one
// of its own whose world is kept beside the data of the environment. Nil means the real Azure.
func (a *app) openSimulation(ctx context.Context, d *definition) (*simulation, error) {
	if file := a.env(simulatorVariable); file != "" {
		return connectSimulation(file)
	}
	if !a.simulate {
		return nil, nil
	}
	return startSimulation(ctx, "127.0.0.1:0", filepath.Join(d.paths.Data, "simulation"), a.now)
}

func connectSimulation(file string) (*simulation, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, hint(fmt.Errorf("%s names a file that cannot be read: %w", simulatorVariable, err), "Start a simulation with: flowehr simulator --connection %s", file)
	}
	s := &simulation{close: func() error { return nil }}
	if err := json.Unmarshal(b, &s.connection); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s.remote, err = azuresim.Connect(s.Address, []byte(s.CA))
	return s, err
}

// startSimulation begins a simulation in this process.
func startSimulation(ctx context.Context, listen, world string, now func() time.Time) (*simulation, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen %q: %w", listen, err)}
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, usageError{fmt.Errorf("--listen %q is not a loopback address, and a simulation is for this machine only", listen)}
	}
	sim, err := azuresim.New(azuresim.Options{Dir: world, Seed: 1, Start: now()})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, errors.Join(errors.New(addressProblem(listen, err)), sim.Close())
	}
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		return nil, errors.Join(err, l.Close(), sim.Close())
	}
	// The simulation outlives the command's context: what was begun is told to it to the end.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(serving, l) }()
	who := azuresim.Deployer()
	return &simulation{
		connection: connection{Address: l.Addr().String(), CA: string(sim.CA()), Tenant: sim.Tenant(), Subscription: sim.Subscription(), ClientID: who.ClientID, Secret: who.Secret},
		remote:     remote,
		close: func() error {
			stop()
			return errors.Join(<-ended, sim.Close())
		},
	}, nil
}
