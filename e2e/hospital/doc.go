// Package hospital holds tests that use the product as a person does: they build the program, run the demo hospital on
// this machine, disturb it, and look at what it says and what it leaves. It has no code of its own.
package hospital
