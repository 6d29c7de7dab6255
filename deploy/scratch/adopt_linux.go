package scratch

import "syscall"

// endWithParent lets the kernel kill the server when this process is gone, however it went.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
