//go:build !linux

package main

// stayAwake was measured on Linux only.
func stayAwake() {}
