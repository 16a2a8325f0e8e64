// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"elsa/internal/escape"
	"elsa/internal/journal"
	"elsa/internal/store"
)

// restored is what elsactl restore did.
type restored struct {
	File     string `json:"file"`
	Database string `json:"database"`
	Groups   int    `json:"groups"`
	// Replaced is where the database that was there is now, empty if there was none.
	Replaced string `json:"replaced"`
}

func restoreCommand(c *ctl) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore [--state-dir DIR] FILE",
		Short: "Put a backup in the place of the database, while the service is stopped",
		Long: `Put a copy that elsactl backup made in the place of the service's database. The
service must be stopped. FILE is copied and checked first, all of it; a damaged one
changes nothing. The database that was there is kept as elsa.db.replaced, in place
of an older one of that name.

Groups, bills and history are then those of the backup. What ended since is billed
as far as its accounting files are still there.`,
		Example: `  systemctl stop elsad
  elsactl restore /var/backups/elsa.db
  systemctl start elsad`,
		Args: between(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			done, err := restore(args[0], dir)
			if err != nil {
				return fmt.Errorf("restore backup: %w", err)
			}
			return c.print(done, func() {
				fmt.Fprintf(c.stdout, "%s: restored, %s\n", escape.Text(done.Database), count(done.Groups, "group"))
				if done.Replaced != "" {
					fmt.Fprintf(c.stdout, "what was there is %s\n", escape.Text(done.Replaced))
				}
			})
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "/var/lib/elsa", "`DIR` is the state directory of elsad")
	return cmd
}

func restore(file, dir string) (done restored, err error) {
	done = restored{File: file, Database: filepath.Join(dir, "elsa.db")}
	fi, err := os.Stat(dir)
	if err != nil {
		return done, err
	}
	// The lock of the old database keeps elsad from starting until the new one is there.
	release, err := store.Lock(done.Database)
	if errors.Is(err, store.ErrBusy) {
		return done, fmt.Errorf("%s is in use; stop the service first: systemctl stop elsad", done.Database)
	}
	if err != nil {
		return done, err
	}
	defer release()
	work, err := os.MkdirTemp(dir, ".restore-*")
	if err != nil {
		return done, err
	}
	defer os.RemoveAll(work)
	fresh := filepath.Join(work, "elsa.db")
	if err := copyDatabase(file, fresh, fi); err != nil {
		return done, err
	}
	st, err := store.Check(fresh)
	if err != nil {
		return done, err
	}
	done.Groups = len(st.Groups)
	old := done.Database + ".replaced"
	switch err := os.Rename(done.Database, old); {
	case err == nil:
		done.Replaced = old
	case !errors.Is(err, fs.ErrNotExist):
		return done, err
	}
	if err := os.Rename(fresh, done.Database); err != nil {
		return done, fmt.Errorf("%w; the database that was there is %s", err, old)
	}
	return done, journal.SyncDir(dir)
}

// copyDatabase copies a file to disk, for the owner of the state directory alone.
func copyDatabase(from, to string, dir fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = chownLike(out, dir)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
