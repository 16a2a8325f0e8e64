// SPDX-License-Identifier: Apache-2.0

// Package mapping reads the mappings of a configuration file, which is YAML. It does no
// I/O.
package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Each calls f for every pair of a mapping, in order, up to the first error. A node that
// is no mapping, and a key that is there twice, is an error.
func Each(n *yaml.Node, f func(key, v *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return ErrorAt(n, "need keys with values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			return ErrorAt(key, "%q is there twice", key.Value)
		}
		seen[key.Value] = true
		if err := f(key, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// ErrorAt is an error that names the line of a node, as "line 4: …".
func ErrorAt(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
}
