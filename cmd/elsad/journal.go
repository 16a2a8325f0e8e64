// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"elsa/internal/config"
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

// openJournal opens the journal where the database left it; nil if it is off.
func openJournal(cfg *config.Config, st *store.State, userName func(uint32) string) (*pipeline.Journal, error) {
	if cfg.Journal == "off" {
		return nil, nil
	}
	dir := filepath.Join(cfg.ArchiveDir, journal.Subdir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	text, err := proc.Default.BootID()
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read host name: %w", err)
	}
	o := journal.Options{Dir: dir, Source: sourceID(st), Host: host, UserName: userName, MaxAge: segmentAge, MaxBytes: journalBytes}
	hex.Decode(o.Boot[:], []byte(strings.ReplaceAll(text, "-", "")))
	j, err := journal.Open(o, st.Journal, max(st.Meta.NextRow, 1), time.Now())
	if err != nil {
		return nil, err
	}
	return &pipeline.Journal{Journal: j, Archive: cfg.ArchiveDir}, nil
}

// sourceID names a database: a UUID (RFC 9562, version 5) of the machine and of when the
// database was made.
func sourceID(st *store.State) (id [16]byte) {
	machine, _ := os.ReadFile("/etc/machine-id") // may be missing
	sum := sha1.Sum(fmt.Appendf(nil, "elsa database\n%s%d", machine, st.Meta.Created.UnixNano()))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return id
}
