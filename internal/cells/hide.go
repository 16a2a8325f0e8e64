// SPDX-License-Identifier: Apache-2.0

package cells

import (
	"math"
	"strings"
)

// Hide says what does not leave the host.
type Hide struct{ Commands, Users bool }

// Hidden stands for a command or user that does not leave the host, and HiddenID for the
// number of one: that of a user who is not known.
const (
	Hidden   = "(hidden)"
	HiddenID = uint32(math.MaxUint32)
)

// String is the words of the configuration file, with commas.
func (h Hide) String() string {
	var words []string
	if h.Commands {
		words = append(words, "command")
	}
	if h.Users {
		words = append(words, "user")
	}
	return strings.Join(words, ",")
}

// Hide hides commands or users. Cells that are alike then are added up.
func (b *Block) Hide(h Hide) {
	for i := range b.Cells {
		c := &b.Cells[i]
		if h.Commands {
			c.Command = Hidden
		}
		if h.Users {
			c.User, c.UID = Hidden, HiddenID
		}
	}
	b.tidy()
}
