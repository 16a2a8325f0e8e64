// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Both programs say what the Makefile has the linker tell them, in one form.
func TestVersion(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^LDFLAGS .*-X (\S+)=\$\(VERSION\)$`).FindSubmatch(makefile)
	if m == nil {
		t.Fatal("the Makefile links no version")
	}
	for _, tt := range []struct{ name, ldflags, want string }{
		{"release", "-X " + string(m[1]) + "=v1.2.3-test", "v1.2.3-test"},
		{"devel", "", "devel"},
	} {
		dir := t.TempDir()
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", tt.ldflags, "-o", dir, "../../cmd/elsad", "../../cmd/elsactl")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, program := range []string{"elsad", "elsactl"} {
			out, err := exec.Command(filepath.Join(dir, program), "--version").Output()
			if want := program + " version " + tt.want + "\n"; err != nil || string(out) != want {
				t.Errorf("%s: %s says %q, %v; want %q", tt.name, program, out, err, want)
			}
		}
	}
}
