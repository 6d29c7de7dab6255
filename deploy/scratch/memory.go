package scratch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNoMemory says that loading would take, or took, more memory than there is: nothing is known of what was to be loaded.
var ErrNoMemory = errors.New("there is not enough memory to load it here")

// roomFor gives ErrNoMemory where a server on data that took so many bytes of a node would not fit. What the kernel does
// then is to end the biggest process of the host, and that is a node of the pair as likely as not.
func roomFor(used int64) error {
	need := used + used/10
	if free, of := free("/"); need > free {
		return fmt.Errorf("%w: it takes %.1f MB, and of %s %.1f MB are free", ErrNoMemory, float64(need)/1e6, of, float64(free)/1e6)
	}
	return nil
}

// free is how many bytes this process and its children may still take, and of what: the host's memory, or the limit of a
// control group that they are in. What cannot be found out, as on another system than Linux, bounds nothing.
func free(root string) (left int64, of string) {
	left, of = math.MaxInt64, "this host's memory"
	if kilobytes := number(filepath.Join(root, "proc/meminfo"), "MemAvailable:"); kilobytes >= 0 {
		left = kilobytes * 1024
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return left, of
	}
	for line := range strings.Lines(string(groups)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		limited := int64(math.MaxInt64)
		switch controllers, path, _ := strings.Cut(line, ":"); controllers {
		case "":
			limited = version2.free(filepath.Join(root, "sys/fs/cgroup"), path)
		case "memory":
			limited = version1.free(filepath.Join(root, "sys/fs/cgroup/memory"), path)
		}
		if limited < left {
			left, of = limited, "captop's own memory limit"
		}
	}
	return left, of
}

// hierarchy names the files of a control group, and the line of its memory.stat with what the kernel gives up when asked.
type hierarchy struct{ limit, used, cached string }

var (
	version1 = hierarchy{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}
	version2 = hierarchy{"memory.max", "memory.current", "inactive_file "}
)

// free is what a group and those above it have left. A container sees its own group as the root of the mount, and may be
// told a path of the host that it does not see.
func (h hierarchy) free(mount, path string) int64 {
	left := int64(math.MaxInt64)
	for ; ; path = filepath.Dir(path) {
		group := filepath.Join(mount, path)
		limit, used := number(filepath.Join(group, h.limit), ""), number(filepath.Join(group, h.used), "") // no limit is "max", or beyond any memory
		if limit >= 0 && used >= 0 {
			cached := max(0, number(filepath.Join(group, "memory.stat"), h.cached))
			left = min(left, max(0, limit-used+cached))
		}
		if path == filepath.Dir(path) {
			return left
		}
	}
}

// number is the one behind a prefix, in the first line of a file that has it; -1 if there is none.
func number(path, prefix string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, prefix)
		if !found {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n
		}
		return -1
	}
	return -1
}
