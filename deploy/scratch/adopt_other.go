//go:build !linux

package scratch

import "syscall"

// endWithParent has no help from kernels other than Linux: there a captop that is killed leaves its scratch server behind.
func endWithParent() *syscall.SysProcAttr { return nil }
