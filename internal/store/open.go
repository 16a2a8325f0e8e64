// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// lockTimeout is how long Open and Lock wait for another process.
const lockTimeout = time.Second

// damage is what is wrong with a file, and what to do about it.
type damage struct{ err error }

func (d *damage) Error() string {
	return fmt.Sprintf("damaged (%v); restore a backup or move the file away", d.err)
}
func (d *damage) Unwrap() error { return d.err }

func damaged(err error) error {
	if d := (*damage)(nil); errors.As(err, &d) {
		return err
	}
	return &damage{err}
}

// sound runs f, which reads pages that may break while they are in use: bbolt panics
// where they contradict each other, and where the file was cut memory faults.
func sound(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged(fmt.Errorf("%v", p))
		}
	}()
	return f()
}

// Open opens the database at path, or makes it, readable by its owner only. It
// waits at most a second for a lock: ErrBusy. A file that is no database of
// ours, or damaged, or ErrNewer, is left as it is, and the error says in one line
// what to do. It reads the whole file.
func Open(path string, now time.Time) (*Store, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := create(path, now); err != nil {
			return nil, fmt.Errorf("create database %s: %w", path, err)
		}
	}
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return s, nil
}

func open(path string) (*Store, error) {
	file, err := lock(path)
	if err != nil {
		return nil, err
	}
	s, err := read(path, file)
	if err == nil {
		err = sound(s.upgrade)
	}
	if err != nil {
		abandon(file)
		return nil, err
	}
	s.measure()
	return s, nil
}

// read opens a file after it was found to be whole.
func read(path string, file *os.File) (*Store, error) {
	f := &found{}
	p, err := inspect(file, f)
	switch {
	case errors.Is(err, errNoDatabase):
		return nil, errors.New("not a database, or damaged; restore a backup or move the file away")
	case err != nil:
		return nil, damaged(err)
	case !f.has[inMeta] || len(f.schema) != 1:
		return nil, errors.New("not a database of this service, or damaged; restore a backup or move the file away")
	case f.schema[0] > schema:
		return nil, fmt.Errorf("%w (schema %d, this one knows %d); install that version again", ErrNewer, f.schema[0], schema)
	case f.schema[0] > 1:
		if err := f.agrees(p.txid); err != nil {
			return nil, damaged(err)
		}
	case f.schema[0] == 0 || f.written != nil:
		return nil, damaged(errors.New("schema is not what was written"))
	}
	s := &Store{path: path, file: file, digests: f.digests, deaths: uint32(f.digests[inDeaths].n), changes: changes{run: newRun()}}
	return s, sound(func() error {
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return file, nil },
		})
		return err
	})
}

// Lock makes sure that nobody has the database at path open until release is called,
// without reading it. It waits at most a second: ErrBusy. What cannot be opened
// nobody has open.
func Lock(path string) (release func() error, err error) {
	file, err := openFile(path)
	if err != nil {
		return func() error { return nil }, nil
	}
	if err := flock(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock database %s: %w", path, err)
	}
	return file.Close, nil
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// lock opens the file, if it is one that nobody else could have written, for us alone.
func lock(path string) (*os.File, error) {
	file, err := openFile(path)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New("it is not a file (a link will not do); move it away")
	}
	if err != nil {
		return nil, err
	}
	if err = own(file); err == nil {
		err = flock(file)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// abandon closes a file that bbolt may still have mapped, which would keep the lock.
func abandon(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

func own(file *os.File) error {
	switch fi, err := file.Stat(); {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return errors.New("it is not a file (a link will not do); move it away")
	case int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to another user than %d; chown it, once you trust what it holds", os.Geteuid())
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o); run chmod go-w on it, once you trust what it holds", fi.Mode().Perm())
	case fi.Size() == 0: // bbolt would fill it
		return errors.New("it is empty; restore a backup or move the file away")
	}
	return nil
}

func flock(file *os.File) error {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 20) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return ErrBusy
		}
	}
}

// create makes the file under another name first, since a crash while bbolt
// lays out its first pages leaves a file it cannot open.
func create(path string, now time.Time) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{NoStatistics: true})
	if err != nil {
		return err
	}
	err = db.Update(func(btx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := btx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := btx.Bucket(buckets[inMeta]).Put(keySchema, []byte{schema}); err != nil {
			return err
		}
		return write(btx, &digests{}, func(w *writing) error {
			meta, err := json.Marshal(Meta{Created: now.UTC(), NextGroup: 1})
			if err != nil {
				return err
			}
			return w.buckets[inMeta].put(keyMeta, meta)
		})
	})
	if err2 := db.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	return err
}
