package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"captop/service"
)

type key struct{}

func TestUntilEndsAsAContextDoes(t *testing.T) {
	far := time.Now().Add(time.Hour)
	over := service.Until(context.Background(), time.Now())
	if err := over.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its deadline: %v", err)
	}
	<-over.Done()

	stopped := service.Until(context.Background(), far)
	if err := stopped.Err(); err != nil {
		t.Errorf("at its beginning: %v", err)
	}
	done := stopped.Done()
	stopped.Stop()
	<-done
	if err := stopped.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	early := service.Until(context.Background(), far)
	early.Stop()
	<-early.Done()
	if err := early.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before anybody waited: %v", err)
	}

	parent, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "kept"), time.Minute)
	child := service.Until(parent, far)
	if at, _ := child.Deadline(); !at.Before(far) || child.Value(key{}) != "kept" {
		t.Errorf("ends at %s, beyond its parent, or lost its value", at)
	}
	grandchild, cancelGrandchild := context.WithCancel(child)
	defer cancelGrandchild()
	cancel()
	<-grandchild.Done()
	if err := child.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after its parent's end: %v", err)
	}
}
