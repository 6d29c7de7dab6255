package main

import (
	"runtime"
	"syscall"
	"time"
)

const (
	// nap is shorter than the 10 ms after which the runtime takes a processor away from a system call.
	nap = 8 * time.Millisecond
	// rest is how long a process that is not busy goes unwatched.
	rest = 100 * time.Millisecond
)

// stayAwake spares a busy process a tenth of its time. Between two batches of a node all of the runtime's processors are
// often idle for a moment; its monitor (runtime.sysmon) then falls asleep, is woken by the next system call, and looks
// around every 20 us for a while, thousands of times a second. While one processor is in a system call it does neither. So
// there is one more, whose goroutine naps in the kernel as long as the process is busy: the monitor then looks around
// every 10 ms, as in a process that is never idle.
func stayAwake() {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	go func() {
		for {
			before := processorTime()
			t := syscall.NsecToTimespec(int64(nap))
			_ = syscall.Nanosleep(&t, nil) // a signal that ends it early does no harm
			if busy(processorTime() - before) {
				runtime.Gosched() // else the runtime takes this for one goroutine that does not yield
			} else {
				time.Sleep(rest)
			}
		}
	}()
}

// busy tells by the processor time of the process during a nap whether there is something to be spared.
func busy(used time.Duration) bool { return used > nap/8 }

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // it does not fail for oneself
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
