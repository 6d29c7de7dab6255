package rows

import (
	"math/rand/v2"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/keys"
)

// TestCursorIsAlwaysInView moves at random through lists that grow and shrink.
func TestCursorIsAlwaysInView(t *testing.T) {
	random, k, p := rand.New(rand.NewPCG(1, 2)), keys.Default(), Place{}
	moves := []tea.KeyType{tea.KeyUp, tea.KeyDown, tea.KeyPgUp, tea.KeyPgDown, tea.KeyHome, tea.KeyEnd}
	for range 5000 {
		count, height := random.IntN(40), random.IntN(12)
		p, _ = p.Press(tea.KeyMsg{Type: moves[random.IntN(len(moves))]}, k, count, height)
		first, last := p.Window(count, height)
		if first < 0 || last > count || last-first > height {
			t.Fatalf("of %d rows %d to %d show in %d", count, first, last, height)
		}
		if at := p.At(count); count > 0 && height > 0 && (at < first || at >= last) {
			t.Fatalf("the cursor at %d is not in %d to %d", at, first, last)
		}
	}
	p = Place{}
	for range 2 {
		p, _ = p.Scroll(tea.KeyMsg{Type: tea.KeyDown}, k, 10, 4)
	}
	if first, last := p.Window(10, 4); first != 2 || last != 6 {
		t.Errorf("scrolled by two, %d to %d show", first, last)
	}
	p, _ = p.Scroll(tea.KeyMsg{Type: tea.KeyEnd}, k, 10, 4)
	if first, last := p.Window(10, 4); first != 6 || last != 10 {
		t.Errorf("at the end %d to %d show", first, last)
	}
	if _, ok := p.Press(tea.KeyMsg{Type: tea.KeyEnter}, k, 3, 3); ok {
		t.Error("enter moves the cursor")
	}
}
