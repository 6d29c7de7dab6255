package commands

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/stack"
)

func TestCommands(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	s, err := Parse([]string{"restart db_g2 = echo done > " + mark, "stop db_g2=echo it is broken >&2; exit 3", "logs app_cp=echo a line"})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := s.Parts(t.Context())
	if err != nil || len(parts) != 2 || parts[0].Service != "app_cp" || parts[1].State != "" {
		t.Fatalf("%+v %v", parts, err)
	}
	g2 := parts[1]
	if command, err := s.Command(g2, stack.Restart); err != nil || command != "echo done > "+mark {
		t.Errorf("%q %v", command, err)
	}
	if err := s.Do(t.Context(), g2, stack.Restart); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(mark); string(text) != "done\n" {
		t.Errorf("%q", text)
	}
	if err := s.Do(t.Context(), g2, stack.Stop); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("%v", err)
	}
	if err := s.Do(t.Context(), g2, stack.Cut); !errors.Is(err, stack.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if err := s.Do(t.Context(), stack.Part{Service: "db_g9"}, stack.Cut); !errors.Is(err, stack.ErrNoPart) {
		t.Errorf("%v", err)
	}
	var log strings.Builder
	if err := s.Logs(t.Context(), parts[0], time.Time{}, &log); err != nil || log.String() != "a line\n" {
		t.Errorf("%q %v", log.String(), err)
	}
}

func TestACommandThatHangsEnds(t *testing.T) {
	s, err := Parse([]string{"restart db_g2=sleep 1000 & sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Do(ctx, stack.Part{Service: "db_g2"}, stack.Restart); err == nil {
		t.Error("it ended well")
	}
}

func TestBadInput(t *testing.T) {
	for _, text := range []string{"", "restart db_g2", "restart=x", "restart db_g2=", "explode db_g2=x", "restart db g2=x"} {
		if _, err := Parse([]string{text}); !errors.Is(err, ErrUnusable) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Parse([]string{"stop a=x", "stop a=y"}); err == nil {
		t.Error("two commands for one act")
	}
}
