package lab

import "syscall"

// endWithParent lets the kernel kill a process when this one is gone, however it went.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
