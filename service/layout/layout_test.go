package layout

import "testing"

// TestNames pins the layout: a name that changes would hide what is on people's disks.
func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		CPKey("user:7"): "cp:{61}k:user:7", CPMeta(7): "cp:{7}m", CPDirty(7): "cp:{7}d",
		APBatches: "ap:{0}b", APBatchesOf(7): "ap:{7}bb", CPBatches: "cp:{0}b", CPBatchesOf(7): "cp:{7}bb", Batch("12.3", []string{"a", "b c"}): "12.3\na\nb c",
		APRegister("user:7"): "ap:{61}k:user:7", APDirty(63): "ap:{63}d", string(APVersion("12", "3")): "12.3",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestUserKeys(t *testing.T) {
	for _, key := range []string{"user:7", "}k:", "cp:{7}k:x", "ключ", " "} {
		if got, ok := CPUserKey(CPKey(key)); got != key || !ok {
			t.Errorf("CP: %q came back as %q, %v", key, got, ok)
		}
		if got, ok := APUserKey(APRegister(key)); got != key || !ok {
			t.Errorf("AP: %q came back as %q, %v", key, got, ok)
		}
	}
	for _, name := range []string{CPMeta(1), CPBatches, CPDirty(1), APMeta, APLease, APDirty(2), "cp:sweep", "x", "ap:{1}k:in another bucket"} {
		if _, ok := CPUserKey(name); ok {
			t.Errorf("CP takes %q for a key", name)
		}
		if _, ok := APUserKey(name); ok {
			t.Errorf("AP takes %q for a key", name)
		}
	}
}
