// Command flowehr describes, deploys and runs an environment for digital healthcare research. See package cli.
package main

import (
	"os"

	"github.com/flowehr/flowehr/internal/cli"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(cli.Main(os.Args[1:], version)) }
