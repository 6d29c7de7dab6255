package sight

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"captop/deploy/doctor"
)

// socket is one that waits for connections, on this host.
type socket struct {
	at    netip.AddrPort
	inode string
}

// sockets reads those of this host's network namespace.
func sockets() ([]socket, error) {
	var all []socket
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) && name != "/proc/net/tcp" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading the sockets of this host: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			const local, state, inode = 1, 3, 9
			fields := strings.Fields(line)
			if len(fields) <= inode || fields[state] != "0A" { // 0A waits for connections
				continue
			}
			at, err := parseSocket(fields[local])
			if err != nil {
				return nil, fmt.Errorf("reading the sockets of this host: %w", err)
			}
			all = append(all, socket{at, fields[inode]})
		}
	}
	return all, nil
}

// parseSocket reads an address as the kernel writes it: words of four bytes in the machine's order (little, on all that
// captop is built for), a colon, the port.
func parseSocket(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, bad := strconv.ParseUint(port, 16, 16)
	if err != nil || bad != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for word := 0; word < len(raw); word += 4 {
		slices.Reverse(raw[word : word+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(number)), nil
}

// owners finds the process of each socket that this user may see, by inode.
func owners() map[string]int {
	found := map[string]int{}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return found // the pattern is right
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		inode, ok := strings.CutPrefix(target, "socket:[")
		if err != nil || !ok {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil {
			found[strings.TrimSuffix(inode, "]")] = pid
		}
	}
	return found
}

func commandName(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// processes finds the parts of the stack that are plain processes of this host: those that listen where captop was told
// that the services and nodes are.
func (l *Looker) processes() []doctor.Unit {
	wanted := map[string][]string{}
	maps.Copy(wanted, l.config.Services)
	for name, node := range l.config.Nodes {
		wanted[name] = []string{node.URL}
	}
	waiting, err := sockets()
	if err != nil {
		return nil
	}
	pids := owners()
	var units []doctor.Unit
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		seen := map[int]bool{}
		for _, address := range wanted[name] {
			port := localPort(address)
			for _, s := range waiting {
				pid := pids[s.inode]
				if port == 0 || s.at.Port() != port || pid == 0 || seen[pid] || commandName(pid) == "docker-proxy" {
					continue
				}
				seen[pid] = true
				units = append(units, processUnit(name, pid, waiting, pids))
			}
		}
	}
	return units
}

// localPort is the port of an address on this host, 0 for others.
func localPort(address string) uint16 {
	parsed, err := url.Parse(address)
	if err != nil {
		return 0
	}
	host, err := netip.ParseAddr(parsed.Hostname())
	if parsed.Hostname() != "localhost" && (err != nil || !host.IsLoopback()) {
		return 0
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// processUnit reads what the kernel says of a process.
func processUnit(name string, pid int, waiting []socket, pids map[string]int) doctor.Unit {
	u := doctor.Unit{Service: name, Name: fmt.Sprintf("%s (process %d)", name, pid), PID: pid, Local: true,
		Health: doctor.Unknown[string]("a plain process has no health check of its own: see what watches it, such as captop check in a timer"),
		Mounts: readMounts(pid), Env: readEnv(pid)}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		u.Command = doctor.Know(strings.Split(strings.TrimRight(string(text), "\x00"), "\x00"))
	}
	readStatus(&u)
	readGroups(&u)
	ports := []doctor.Port{}
	for _, s := range waiting {
		if pids[s.inode] == pid {
			ports = append(ports, doctor.Port{Host: s.at.Addr(), Port: strconv.Itoa(int(s.at.Port()))})
		}
	}
	u.Ports = doctor.Know(ports)
	u.Log = logOf(u)
	return u
}

func readEnv(pid int) doctor.Known[map[string]string] {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return doctor.Unknown[map[string]string](err.Error())
	}
	return doctor.Know(environment(strings.Split(string(text), "\x00")))
}

// readStatus reads user, capabilities and privileges.
func readStatus(u *doctor.Unit) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.PID))
	if err != nil {
		return // every field stays unknown
	}
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		name, value, _ := strings.Cut(scanner.Text(), ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "Uid":
			u.User = doctor.Know(fields[min(1, len(fields)-1)]) // the effective one
		case "NoNewPrivs":
			u.NoNewPrivileges = doctor.Know(fields[0] == "1")
		case "CapEff":
			mask, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil {
				continue
			}
			has := []string{}
			if mask != 0 {
				has = append(has, "capabilities "+fields[0])
			}
			u.Capabilities = doctor.Know(has)
		}
	}
}

// readMounts reads which of its mounts are in memory, and whether the root is read-only.
func readMounts(pid int) doctor.Known[[]doctor.Mount] {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return doctor.Unknown[[]doctor.Mount](err.Error())
	}
	mounts := []doctor.Mount{}
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) < 1 {
			continue
		}
		m := doctor.Mount{Kind: "bind", Destination: fields[4]}
		if kind[0] == "tmpfs" || kind[0] == "ramfs" {
			m.Kind = "tmpfs"
		}
		mounts = append(mounts, m)
	}
	return doctor.Know(mounts)
}

// rootOf says whether a process sees its root read-only, as ProtectSystem=strict of systemd makes it.
func rootOf(pid int) doctor.Known[bool] {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return doctor.Unknown[bool](err.Error())
	}
	found := doctor.Unknown[bool]("its root is not among its mounts")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[4] == "/" {
			found = doctor.Know(slices.Contains(strings.Split(fields[5], ","), "ro"))
		}
	}
	return found
}

// unlimited is above every limit that means something: cgroups of version 1 write none as a number like this.
const unlimited = int64(1) << 60

// readGroups reads the limits of the control groups, and whether the root is read-only.
func readGroups(u *doctor.Unit) {
	u.ReadOnlyRoot = rootOf(u.PID)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", u.PID))
	if err != nil {
		return
	}
	groups := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			for controller := range strings.SplitSeq(parts[1], ",") {
				groups[controller] = parts[2]
			}
		}
	}
	u.Memory = limitOf(groups, "memory", "memory.max", "memory.limit_in_bytes")
	u.PIDs = limitOf(groups, "pids", "pids.max", "pids.max")
	u.CPUs = cpusOf(groups)
}

// limitOf is the least limit of a group and those above it; 0 for none.
func limitOf(groups map[string]string, controller, unified, old string) doctor.Known[int64] {
	least, seen := int64(math.MaxInt64), false
	walk(groups, controller, unified, old, func(text string) {
		seen = true
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n < unlimited {
			least = min(least, n)
		}
	})
	switch {
	case !seen:
		return doctor.Unknown[int64]("its control group cannot be read")
	case least == math.MaxInt64:
		return doctor.Know(int64(0))
	}
	return doctor.Know(least)
}

func cpusOf(groups map[string]string) doctor.Known[float64] {
	least, seen := math.Inf(1), false
	take := func(quota, period string) {
		q, err := strconv.ParseFloat(quota, 64)
		p, bad := strconv.ParseFloat(period, 64)
		if err == nil && bad == nil && q > 0 && p > 0 {
			least = min(least, q/p)
		}
	}
	walk(groups, "cpu", "cpu.max", "", func(text string) {
		seen = true
		if fields := strings.Fields(text); len(fields) == 2 {
			take(fields[0], fields[1])
		}
	})
	quotas := []string{}
	walk(groups, "cpu", "", "cpu.cfs_quota_us", func(text string) { quotas = append(quotas, text) })
	walk(groups, "cpu", "", "cpu.cfs_period_us", func(text string) {
		seen = true
		if len(quotas) > 0 {
			take(quotas[0], text)
			quotas = quotas[1:]
		}
	})
	switch {
	case !seen:
		return doctor.Unknown[float64]("its control group cannot be read")
	case math.IsInf(least, 1):
		return doctor.Know(0.0)
	}
	return doctor.Know(least)
}

// walk calls take with a limit's file of a group and of each above it, in the unified hierarchy or the old one.
func walk(groups map[string]string, controller, unified, old string, take func(text string)) {
	root, group, file := "/sys/fs/cgroup", groups[""], unified
	if own, ok := groups[controller]; ok {
		root, group, file = root+"/"+controller, own, old
	}
	if file == "" || group == "" {
		return
	}
	for ; ; group = filepath.Dir(group) {
		if text, err := os.ReadFile(filepath.Join(root, group, file)); err == nil {
			take(strings.TrimSpace(string(text)))
		}
		if group == "/" || group == "." {
			if info, err := os.Stat(root); err == nil && info.IsDir() {
				take("max") // the root has no file of it, and no limit
			}
			return
		}
	}
}

// logOf says where a process logs to: into a file that it rotates itself, or where its output goes.
func logOf(u doctor.Unit) doctor.Known[doctor.Log] {
	if u.Env.OK && u.Env.Value["LOG_FILE"] != "" && strings.HasPrefix(u.Service, "app_") {
		return doctor.Know(doctor.Log{Driver: "capd"})
	}
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", u.PID))
	switch {
	case err != nil:
		return doctor.Unknown[doctor.Log](err.Error())
	case target == "/dev/null":
		return doctor.Know(doctor.Log{Driver: "none"})
	case strings.HasPrefix(target, "socket:"):
		return doctor.Know(doctor.Log{Driver: "journald"}) // what else gives a service a socket to write to
	}
	return doctor.Unknown[doctor.Log]("its output goes to " + target + "; set LOG_FILE, which capd rotates, or run it under systemd")
}
