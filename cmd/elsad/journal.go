// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/config"
	"elsa/internal/fault"
	"elsa/internal/journal"
	"elsa/internal/pipeline"
	"elsa/internal/store"
	"elsa/pkg/proc"
)

// Bounds of the journal.
const (
	segmentAge   = time.Hour
	journalBytes = 512 << 20
)

// newJournal is the journal, opened where the database left it with the first commit;
// nil if it is off.
func newJournal(cfg *config.Config, st *store.State, userName func(uint32) string, log *slog.Logger) (*pipeline.Journal, error) {
	if cfg.Journal == "off" {
		return nil, nil
	}
	text, err := proc.Default.BootID()
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read host name: %w", err)
	}
	o := journal.Options{
		Dir: filepath.Join(cfg.ArchiveDir, journal.Subdir), Source: sourceID(st), Host: host, UserName: userName, MaxAge: segmentAge,
		MaxBytes: journalBytes, MaxRows: uint64(fault.Size("rows", journal.MaxRows)),
	}
	hex.Decode(o.Boot[:], []byte(strings.ReplaceAll(text, "-", "")))
	open := func() (*journal.Journal, error) {
		if err := os.MkdirAll(o.Dir, 0o750); err != nil {
			return nil, fmt.Errorf("make journal: %w", err)
		}
		o := o
		var err error
		if o.Sealed, err = journal.LastSealed(cfg.ArchiveDir); err != nil {
			log.Error("what is sealed is not removed", "err", err)
		}
		j, err := journal.Open(o, st.Journal, max(st.Meta.NextRow, 1), time.Now())
		if err != nil {
			return nil, err
		}
		if j.Err() != nil {
			log.Error("the journal is not what it was; what is missing is counted by elsa-archive verify", "err", j.Err())
		}
		if j.NewSource() {
			log.Warn("the archive has rows that came after this database: an older one was put back, and goes on as another source")
		}
		return j, nil
	}
	return &pipeline.Journal{Open: open, Archive: cfg.ArchiveDir, Patience: patience(cfg)}, nil
}

// journalPatience is how long a commit waits for a disk that has only the journal.
const journalPatience = time.Second

// patience is how long a commit waits for the journal: for ever where the bills are on
// the same file system, which then hang with it.
func patience(cfg *config.Config) time.Duration {
	same := make(chan bool, 1)
	go func() {
		var state, archive unix.Stat_t
		dir := cfg.ArchiveDir
		err := unix.Stat(dir, &archive)
		for err == unix.ENOENT && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			err = unix.Stat(dir, &archive)
		}
		same <- err == nil && unix.Stat(cfg.StateDir, &state) == nil && state.Dev == archive.Dev
	}()
	select {
	case yes := <-same:
		if yes {
			return 0
		}
	case <-time.After(journalPatience): // it hangs already
	}
	return journalPatience
}

// sourceID names the database of this machine.
func sourceID(st *store.State) [16]byte {
	machine, _ := os.ReadFile("/etc/machine-id") // may be missing
	return st.Meta.SourceID(machine)
}

// uuid is the text of an id.
func uuid(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
