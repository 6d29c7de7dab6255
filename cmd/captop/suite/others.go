package suite

import (
	"fmt"
	"syscall"
	"time"

	"captop/deploy/lab"
)

// usage is processor time so far.
type usage struct{ all, ours time.Duration }

// others runs do, and gives the share of the busy processor time meanwhile that other programs have used: it tells how
// much a figure is worth.
func others(room *lab.Lab, do func() error) (share float64, err error) {
	before, err := readUsage(room)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := readUsage(room)
	if all := after.all - before.all; all > 0 {
		share = max(0, float64(all-(after.ours-before.ours))/float64(all))
	}
	return share, err
}

// readUsage adds up what the lab's processes, this process and its ended children have used, and the whole machine.
func readUsage(room *lab.Lab) (u usage, err error) {
	if u.all, err = lab.MachineCPU(); err != nil {
		return u, err
	}
	for _, p := range room.Processes() {
		used, err := lab.CPU(p.PID())
		if err != nil {
			return u, err
		}
		u.ours += used
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return u, fmt.Errorf("reading what was used: %w", err)
		}
		u.ours += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return u, nil
}
