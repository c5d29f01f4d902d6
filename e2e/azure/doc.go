// Package azure holds tests that deploy to the simulation of Azure: with the ordinary program as a person does, and with its parts
// under faults. It has no code of its own.
package azure
