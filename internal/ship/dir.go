// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"elsa/internal/journal"
)

// Dir is a directory, as a rule of a file system that all hosts mount.
type Dir struct{ root string }

// Modes of what is made: the fleet's group reads it.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

// staleAfter is how old a file under another name is that nobody writes any more.
const staleAfter = time.Hour

func (d *Dir) path(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("bad name %q in a sink", name)
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// List walks the directory. Names that begin with a dot are not whole, or not ours.
func (d *Dir) List(ctx context.Context, prefix string) (list []Object, err error) {
	if _, err := os.Stat(d.root); err != nil {
		return nil, fmt.Errorf("list sink: %w", err) // not mounted, as opposed to empty
	}
	path, err := d.path(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone meanwhile
		case err != nil:
			return err
		case strings.HasPrefix(e.Name(), ".") && e.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(e.Name(), "."), !e.Type().IsRegular():
			return ctx.Err()
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(d.root, path)
		list = append(list, Object{Name: filepath.ToSlash(name), Size: st.Size()})
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return nil, fmt.Errorf("list sink: %w", err)
	}
	slices.SortFunc(list, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Get reads a file.
func (d *Dir) Get(_ context.Context, name string) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read sink: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, MaxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read sink: %w", err)
	}
	return b, nil
}

// Put writes a file under another name, syncs it, and gives it its name by a link, which
// fails where the name is taken. A file system without links has it renamed.
func (d *Dir) Put(_ context.Context, name string, b []byte) error {
	return d.write(name, b, func(tmp, path string) error {
		err := os.Link(tmp, path)
		switch {
		case err == nil:
			return os.Remove(tmp)
		case errors.Is(err, fs.ErrExist):
			return ErrThere
		}
		if _, err := os.Lstat(path); err == nil {
			return ErrThere
		}
		return os.Rename(tmp, path)
	})
}

// Replace writes a file under another name, syncs it, and renames it.
func (d *Dir) Replace(_ context.Context, name string, b []byte) error {
	return d.write(name, b, os.Rename)
}

func (d *Dir) write(name string, b []byte, give func(tmp, path string) error) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(d.root); err != nil {
		return fmt.Errorf("write to sink: %w; is it mounted?", err) // never made by us
	}
	dir, base := filepath.Split(path)
	if err := d.mkdir(dir); err != nil {
		return fmt.Errorf("write to sink: %w", err)
	}
	d.sweep(dir, base)
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return fmt.Errorf("write to sink: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = errors.Join(f.Chmod(fileMode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = give(f.Name(), path)
	}
	if err == nil {
		err = journal.SyncDir(dir)
	} else {
		os.Remove(f.Name())
	}
	if err != nil {
		return fmt.Errorf("write to sink: %w", err)
	}
	return nil
}

// mkdir makes the directories up to dir, each safe in the one above.
func (d *Dir) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(filepath.Clean(dir))
	if err := d.mkdir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return journal.SyncDir(above)
}

// sweep removes what writers of the file that were killed left.
func (d *Dir) sweep(dir, base string) {
	left, _ := filepath.Glob(filepath.Join(dir, "."+base+".*.tmp"))
	for _, path := range left {
		if st, err := os.Lstat(path); err == nil && time.Since(st.ModTime()) > staleAfter {
			os.Remove(path)
		}
	}
}

// Remove removes a file.
func (d *Dir) Remove(_ context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from sink: %w", err)
	}
	return nil
}
