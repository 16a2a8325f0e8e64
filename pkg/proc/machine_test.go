// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMachineTime(t *testing.T) {
	for _, tt := range []struct {
		text string
		want MachineTime
		err  error
	}{
		{"cpu  100 20 3 4000 50 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nprocesses 5\n", MachineTime{Ran: 1230 * time.Millisecond, Idle: 40500 * time.Millisecond}, nil},
		{"cpu  1 2 3 4 5", MachineTime{Ran: 60 * time.Millisecond, Idle: 90 * time.Millisecond}, nil},
		{"cpu  1 2 3 4", MachineTime{}, ErrFormat},
		{"cpu  1 2 x 4 5\n", MachineTime{}, ErrFormat},
		{"cpu0 1 2 3 4 5\n", MachineTime{}, ErrFormat},
		{"", MachineTime{}, ErrFormat},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := FS(dir).MachineTime()
		if !errors.Is(err, tt.err) || err == nil && got != tt.want {
			t.Errorf("%q: %+v, %v; want %+v, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
	if _, err := FS(t.TempDir()).MachineTime(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	if got, err := Default.MachineTime(); err != nil || got.Ran <= 0 || got.Idle <= 0 {
		t.Errorf("this machine: %+v, %v", got, err)
	}
}
