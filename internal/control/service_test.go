// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/api"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
)

// newService returns a service on the running machine, with a pipeline whose
// events are those sent to the source returned.
func newService(t testing.TB, text string) (*Service, *stream.Memory[cnfork.Event]) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "elsa.db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	set := &rules.Set{}
	if text != "" {
		if set, err = rules.Parse(doc.Content[0]); err != nil {
			t.Fatal(err)
		}
	}
	refused := &tally.Shared{}
	processes := proc.NewBounded(proc.Default)
	e, err := engine.New(engine.Options{
		World: pipeline.NewWorld(processes, rules.Numbers{}, nil), Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour,
		KnownCommands: func(uint32) []string { return nil }, Rules: &rules.Set{}, Refused: refused,
	}, engine.Now{Boot: proc.Now(), Wall: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	events := stream.NewMemory[cnfork.Event]()
	p := pipeline.New(pipeline.Options{
		Engine: e, Store: db, Proc: processes, Interval: time.Hour, Log: slog.New(slog.DiscardHandler),
		Sources: pipeline.Sources{Events: events, Taskstats: stream.NewMemory[acct.Record](), Exact: stream.NewMemory[acct.Record]()},
	})
	if err := p.Restore(st, false, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if err := e.SetRules(set, engine.Now{Boot: proc.Now(), Wall: time.Now()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		db.Close()
	})
	return &Service{Pipeline: p, Store: db, Proc: processes, Refused: refused}, events
}

// TestGroupIsTheOneNamed lets a rule make a group while a request is served, which
// moves the others in the list.
func TestGroupIsTheOneNamed(t *testing.T) {
	admin, self := api.Caller{Admin: true}, os.Getpid()
	requests := map[string]func(*testing.T, *Service) error{
		"add": func(t *testing.T, s *Service) error {
			_, err := s.AddMembers(t.Context(), admin, "m", api.AddRequest{PIDs: []int{self}})
			return err
		},
		"show": func(t *testing.T, s *Service) error {
			d, err := s.Group(t.Context(), admin, "m")
			if err == nil && d.Name != "m" {
				t.Errorf("shown is %s", d.Name)
			}
			return err
		},
		"remove": func(t *testing.T, s *Service) error {
			_, err := s.RemoveMembers(t.Context(), admin, "m", api.RemoveRequest{PIDs: []int{self}})
			if !strings.Contains(fmt.Sprint(err), "is not in group m") {
				t.Errorf("removed from m: %v", err)
			}
			return nil
		},
		"delete": func(t *testing.T, s *Service) error { return s.DeleteGroup(t.Context(), admin, "m") },
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			// A rule that no process fulfils before it executes something: this one
			// does so, by an event, once there are groups.
			s, events := newService(t, fmt.Sprintf("{list: [{group: a, command: [%q], parent: y}]}", "*"))
			for _, g := range []string{"m", "y", "z"} {
				if _, err := s.CreateGroup(t.Context(), admin, api.CreateGroupRequest{Name: g}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.AddMembers(t.Context(), admin, "y", api.AddRequest{PIDs: []int{self}}); err != nil {
				t.Fatal(err)
			}
			// The event waits until the request takes it in.
			err := s.Pipeline.Do(t.Context(), func(pipeline.Turn) error {
				events.Send(&stream.Batch[cnfork.Event]{Items: []cnfork.Event{{Kind: cnfork.Exec, PID: int32(self), TGID: int32(self)}}})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := request(t, s); err != nil {
				t.Fatal(err)
			}
			e, err := s.Explain(t.Context(), admin, self)
			if err != nil {
				t.Fatal(err)
			}
			var in, names []string
			for _, m := range e.Groups {
				in = append(in, m.Group)
			}
			all, err := s.Groups(t.Context(), admin)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range all {
				names = append(names, g.Name)
			}
			wantNames, wantIn := []string{"a", "m", "y", "z"}, []string{"a", "y"}
			switch name {
			case "add":
				wantIn = []string{"a", "m", "y"}
			case "delete":
				wantNames = []string{"a", "y", "z"}
			}
			if !slices.Equal(names, wantNames) || !slices.Equal(in, wantIn) {
				t.Errorf("groups %v, this process is in %v; want %v and %v", names, in, wantNames, wantIn)
			}
		})
	}
}
