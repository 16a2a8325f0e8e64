// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"os/exec"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
)

// promtool is Prometheus's own checker, from Debian's package prometheus.
var promtool = kerneltest.Program("promtool", "prometheus")

func TestPromtool(t *testing.T) {
	kerneltest.Need(t, promtool)
	check := func(body string) string {
		cmd := exec.Command("promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	if out := check(scrape(t, exampleExporter(), "text/plain;version=0.0.4")); out != "" {
		t.Errorf("promtool check metrics is not silent:\n%s", out)
	}
	// The checker does check.
	if out := check("# HELP elsa_x_ms x\n# TYPE elsa_x_ms counter\nelsa_x_ms 1\n"); out == "" {
		t.Error("promtool has nothing to say about elsa_x_ms")
	}
}
