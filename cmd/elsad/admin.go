// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"

	"elsa/internal/config"
	"elsa/internal/store"
	"elsa/pkg/ledger"
)

// checkStore verifies the database: every page, and every value in it.
func checkStore(cfg *config.Config, w io.Writer) error {
	path := cfg.Database()
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if err := checkStateDir(cfg.StateDir); err != nil {
		return err
	}
	st, err := store.Check(path)
	if err != nil {
		return withAdvice(err, cfg)
	}
	fmt.Fprintf(w, "%s: ok: %d groups, %d sets, %d members, ledger at %v\n",
		path, len(st.Groups), len(st.Sets), len(st.Members), st.Meta.Position)
	return nil
}

// stopAccounting switches off the accounting that an elsad which did not end in
// order left on, so that the kernel does not fill the disk. The lines written
// so far stay, for the next elsad. Accounting of others is left alone. The database
// is not read: it may be damaged, and no elsad start for that.
func stopAccounting(cfg *config.Config) error {
	dir := filepath.Join(cfg.StateDir, "pacct")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := checkStateDir(cfg.StateDir); err != nil {
		return err
	}
	release, err := store.Lock(cfg.Database())
	if err != nil {
		return withAdvice(err, cfg)
	}
	defer release()
	owned, err := ledger.Own(dir, ledger.Position{}, ledger.OwnOptions{})
	var conflict *ledger.ConflictError
	switch {
	case errors.As(err, &conflict):
	case err != nil:
		return err
	default:
		if err := owned.Close(); err != nil {
			return err
		}
	}
	// It takes more rights than the guard has. The next start takes them over.
	if err := pins(cfg).Remove(); err != nil {
		slog.Warn("accounting is off; the BPF programs of the last run stay attached until the next", "err", err)
	}
	return nil
}

// startProfile begins a CPU profile, if a path is given, and returns what ends it.
func startProfile(path string) (func(), error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
