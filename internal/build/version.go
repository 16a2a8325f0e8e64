// SPDX-License-Identifier: Apache-2.0

// Package build says which build of ELSA this is.
package build

import "runtime/debug"

// version is set by the linker for a release:
//
//	go build -ldflags '-X elsa/internal/build.version=v1.2.3'
var version string

// Version returns the version that the linker was given, else the one that the
// go command recorded in the program, else "devel".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
