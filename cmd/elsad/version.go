// SPDX-License-Identifier: Apache-2.0

package main

import "runtime/debug"

// release is set by the linker for a release.
var release = ""

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
