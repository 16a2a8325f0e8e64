// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"elsa/internal/escape"
	"elsa/internal/progress"
	"elsa/pkg/client"
)

// backedUp is what elsactl backup did.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

func backupCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the service's database to a file, while it is in use",
		Long: `Copy the service's database to FILE while it is in use: groups, bills, history
and members as of now. An older FILE is replaced once the copy is whole and on
disk. elsactl restore goes back to it.

A backup holds what every user ran: it is for root and members of the unix group
elsa, and FILE is readable by its owner only.`,
		Example: `  elsactl backup /var/backups/elsa.db`,
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var written counter
			stop := progress.Wait(c.stderr, func() string { return "elsactl: backing up, " + bytes(uint64(written.Load())) })
			n, err := backup(cmd.Context(), c.client(), args[0], &written)
			stop()
			if err != nil {
				return err
			}
			done := backedUp{File: args[0], Bytes: n}
			return c.print(done, func() { fmt.Fprintf(c.stdout, "%s: %s\n", escape.Text(done.File), bytes(uint64(n))) })
		},
	}
}

// backup writes a copy under another name in path's directory first, so that path
// never holds half of one.
func backup(ctx context.Context, client *client.Client, path string, written *counter) (n int64, err error) {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return 0, fmt.Errorf("make backup: %s is a directory; name a file in it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".elsa-backup-*")
	if err != nil {
		return 0, fmt.Errorf("make backup: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	n, err = client.Backup(ctx, io.MultiWriter(f, written))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return n, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return n, fmt.Errorf("make backup: %w", err)
	}
	return n, nil
}

// counter counts the bytes written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.Add(int64(len(b)))
	return len(b), nil
}
