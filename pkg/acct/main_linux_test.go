// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"testing"

	"elsa/internal/kerneltest"
)

// roles are what spawned copies of the test binary can be asked to do, besides
// kerneltest's own.
var roles = map[string]kerneltest.Role{}

func TestMain(m *testing.M) { kerneltest.Main(m, roles) }
