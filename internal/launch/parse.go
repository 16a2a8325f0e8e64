// SPDX-License-Identifier: Apache-2.0

package launch

import "elsa/internal/inherited"

// DefaultSocket is the control socket of the service if none is named.
const DefaultSocket = "/run/elsa/elsad.sock"

// parse understands a command line of elsactl that runs a command without a bill,
// in its common forms. What it does not understand is left to elsactl.
func parse(args []string) (c Command, ok bool) {
	c = Command{Socket: DefaultSocket, Ignore: inherited.Ignored(), Block: inherited.Blocked()}
	var rest []string
	run, quiet := false, false
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		name, value, given := cut(a, "=")
		switch {
		case a == "run" && !run:
			run = true
		case a == "--quiet" && run:
			quiet = true
		case name == "--socket", run && (name == "--group" || a == "-g"):
			if !given {
				if len(args) == 0 {
					return c, false
				}
				value, args = args[0], args[1:]
			}
			if name == "--socket" {
				c.Socket = value
			} else {
				c.Group = value
			}
		case a == "--" && run:
			rest, args = args, nil
		case run && a[:min(1, len(a))] != "-":
			rest, args = append([]string{a}, args...), nil
		default:
			return c, false
		}
	}
	c.Argv = rest
	return c, run && quiet && len(rest) > 0 && c.Socket != ""
}
