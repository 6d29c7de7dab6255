package demo

import "syscall"

// endWithParent lets the kernel kill a server when this process is gone, for the case that the keeper was killed with it.
func endWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
