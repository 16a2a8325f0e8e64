// SPDX-License-Identifier: Apache-2.0

package acct

// Owner finds out who owns accounting, of which there is one for the machine,
// by letting a child end and looking where its record goes. It is nil when
// accounting is off, and a [*ConflictError] when it is on.
func Owner() error {
	_, err := checkOwner(linux{}, nil)
	return err
}
