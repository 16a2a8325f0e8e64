// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"fmt"
	"os"

	"elsa/internal/cells"
	"elsa/internal/query"
)

// Hide is a sealed file without what is not to leave the host. The same file makes the
// same bytes. One that is not there is os.ErrNotExist.
func Hide(path string, hide cells.Hide) ([]byte, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := newParquet(&out)
	x := Scanner{}
	err := x.file(path, newMatch(&query.Query{}), &each{left: -1, f: func(c *record) error {
		if hide.Commands {
			c.Command = cells.Hidden
		}
		if hide.Users {
			c.User, c.UID, c.GID = cells.Hidden, cells.HiddenID, cells.HiddenID
		}
		_, err := w.Write([]record{*c})
		return err
	}})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("hide in %s: %w", path, err)
	}
	return out.Bytes(), nil
}
