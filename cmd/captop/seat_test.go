package main

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"captop/service/node/nodetest"
	"captop/tui/tmuxtest"
)

// TestSlowEngine: an engine that does not answer when the screen begins, as on a host under load, can be acted on as soon as
// it does; until then the key says why not.
func TestSlowEngine(t *testing.T) {
	s := newStack(t, "captopslow")
	s.sh(t, "docker-compose up -d db_g1 db_g2")
	socket, answer := heldEngine(t)
	state := t.TempDir()
	screen := tmuxtest.Start(t, 160, 40, state, "DOCKER_HOST=unix://"+socket+" XDG_STATE_HOME="+state+" XDG_CONFIG_HOME="+state+" "+captopBinary(t)+
		" --stack compose:captopslow --cp http://127.0.0.1:1 --ap http://127.0.0.1:1 --g1 redis://127.0.0.1:1 --g2 redis://127.0.0.1:1")
	screen.Wait("A arm")
	screen.Keys("A")
	screen.Wait("ARMED")
	screen.Keys("r")
	screen.Wait("No restart: captop is still looking what it can act on")
	close(answer)
	screen.Wait("r restart", "compose project captopslow")
	screen.Keys("r")
	screen.Wait("restart db_g2?", "captopslow_db_g2_1")
	screen.Keys("Escape")
	screen.Gone("restart db_g2?")
	screen.Keys("5")
	screen.Wait("nothing can be acted on yet", "from now on captop can act on compose project captopslow")
}

// TestStartedLater: a stack that is started when the screen is there already can be acted on.
func TestStartedLater(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	g1.Kill()
	g2.Kill()
	state := t.TempDir()
	screen := tmuxtest.Start(t, 80, 24, state, "XDG_STATE_HOME="+state+" XDG_CONFIG_HOME="+state+" "+captopBinary(t)+
		" --cp http://127.0.0.1:1 --ap http://127.0.0.1:1 --g1 "+g1.URL()+" --g2 "+g2.URL())
	screen.Wait("A arm")
	until(t, "the key says that there is nothing", func() bool { // first it may say that an engine is still asked
		screen.Keys("r")
		return strings.Contains(screen.Text(), "No restart: there is nothing to act on; --stack or --act says what there is")
	})
	g1.Restart()
	g2.Restart()
	screen.Wait("r restart")
}

// heldEngine stands before the engine, and lets nothing through to it until answer is closed.
func heldEngine(t *testing.T) (socket string, answer chan struct{}) {
	t.Helper()
	socket, answer = filepath.Join(t.TempDir(), "engine"), make(chan struct{})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			asker, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer asker.Close()
				<-answer
				engine, err := net.Dial("unix", "/var/run/docker.sock")
				if err != nil {
					return
				}
				defer engine.Close()
				go func() { _, _ = io.Copy(engine, asker) }()
				_, _ = io.Copy(asker, engine)
			}()
		}
	}()
	return socket, answer
}
