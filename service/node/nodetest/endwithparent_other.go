//go:build !linux

package nodetest

import "syscall"

// endWithParent has no help from kernels other than Linux: there a killed test process leaves its servers behind.
func endWithParent() *syscall.SysProcAttr { return nil }
