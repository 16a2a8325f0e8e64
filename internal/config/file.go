// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
)

// ReadFile reads a configuration file: every flag by its name, and rules, beside the
// sections that [ReadSections] is for. It
// sets the flags that the command line did not, and returns the rules. An error
// names file and line.
func ReadFile(path string, flags *pflag.FlagSet) (*rules.Set, error) {
	return readFile(path, flags, &Sections{})
}

func readFile(path string, flags *pflag.FlagSet, sections *Sections) (*rules.Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	set, err := parseFile(f, flags, sections)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return set, nil
}

// maxFile bounds the configuration file.
const maxFile = 1 << 20

func parseFile(r io.Reader, flags *pflag.FlagSet, sections *Sections) (*rules.Set, error) {
	var doc, more yaml.Node
	in := &io.LimitedReader{R: r, N: maxFile + 1}
	dec := yaml.NewDecoder(in)
	err := dec.Decode(&doc)
	if in.N == 0 {
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	if errors.Is(err, io.EOF) {
		return &rules.Set{}, nil // an empty file
	}
	if err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins; use one", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: need keys with values", top.Line)
	}
	set, seen := &rules.Set{}, map[string]bool{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, v := top.Content[i], top.Content[i+1]
		if seen[key.Value] {
			return nil, fmt.Errorf("line %d: %q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if key.Value == "rules" {
			if set, err = rules.Parse(v); err != nil {
				return nil, err
			}
			continue
		}
		if found, err := sections.section(key.Value, v); err != nil {
			return nil, err
		} else if found {
			continue
		}
		flag := flags.Lookup(key.Value)
		if flag == nil || notInFile[key.Value] {
			return nil, fmt.Errorf("line %d: unknown key %q: use the name of a flag, or rules, prices or budgets", key.Line, key.Value)
		}
		if v.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: %s needs one value", v.Line, key.Value)
		}
		if flag.Changed {
			continue // the command line wins
		}
		if err := flag.Value.Set(v.Value); err != nil {
			return nil, fmt.Errorf("line %d: bad %s %q: %v", v.Line, key.Value, v.Value, err)
		}
	}
	return set, nil
}

// notInFile are the flags that make no sense in a file.
var notInFile = map[string]bool{"config": true, "check": true, "stop-accounting": true, "help": true, "version": true}
