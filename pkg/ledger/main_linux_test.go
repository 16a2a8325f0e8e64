// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"

	"elsa/internal/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m, nil) }
