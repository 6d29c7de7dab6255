package nodetest

import "testing"

func TestSentinelsFailOverAndBecomeWholeAgain(t *testing.T) {
	s := StartSentinels(t, 1)
	first := s.Primary()
	first.must([]any{"SET", "k", "v"}, []any{"WAIT", 1, 5000})
	first.Kill()
	s.AwaitFailover(first)
	if got, err := s.Primary().Ask("GET", "k"); err != nil || got != "v" {
		t.Fatalf("the new primary has %v, %v", got, err)
	}
	first.Restart()
	s.AwaitWhole()
}

func TestClusterFailsOverAndMovesSlots(t *testing.T) {
	c := StartCluster(t, 1)
	answer, err := c.Members[0].Ask("CLUSTER", "KEYSLOT", "{7}k")
	if err != nil {
		t.Fatal(err)
	}
	slot := int(answer.(int64))
	first := c.Owner(slot)
	for i := range 100 {
		first.must([]any{"SET", "{7}" + string(rune('a'+i%26)), "v"})
	}
	to := c.Members[0]
	if to == first {
		to = c.Members[1]
	}
	c.Migrate(slot, to)
	if c.Owner(slot) != to {
		t.Fatal("the slot has not moved")
	}
	if got, err := to.Ask("GET", "{7}a"); err != nil || got != "v" {
		t.Fatalf("the new owner has %v, %v", got, err)
	}
	to.Kill()
	c.AwaitFailover(slot, to)
	to.Restart()
	c.AwaitWhole()
}
