package api

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"captop/service"
)

func TestMemoryIsReadAsItWasWritten(t *testing.T) {
	long := memory{expires: 1 << 40, dropped: true}
	for i := range 200 {
		long.note(keyHash{byte(i), 1: byte(i >> 8)}, service.Version(make([]byte, i)))
	}
	for _, m := range []memory{{}, {id: "name"}, {expires: 1795790294, writes: []sessionWrite{{keyHash{1, 2, 3}, "42"}}}, long} {
		got, ok := readMemory(m.append(nil))
		if !ok || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v came back as %+v, %t", m, got, ok)
		}
	}
}

// TestMemoryOfNonsense: nothing that is cut off or made up is read for a memory of its full length, and nothing panics.
func TestMemoryOfNonsense(t *testing.T) {
	m := memory{expires: 1795790294, writes: []sessionWrite{{keyHash{1, 2, 3}, "42"}, {keyHash{4}, "1795790294696020.172056665987765"}}}
	whole := m.append(nil)
	for n := range whole {
		if got, ok := readMemory(whole[:n]); ok && len(got.writes) == len(m.writes) {
			t.Errorf("the first %d of %d bytes are read as %+v", n, len(whole), got)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		nonsense := make([]byte, r.IntN(40))
		for i := range nonsense {
			nonsense[i] = byte(r.Uint32())
		}
		if len(nonsense) > 0 && r.IntN(2) == 0 {
			nonsense[0] = "wdr"[r.IntN(3)]
		}
		readMemory(nonsense)
	}
}
