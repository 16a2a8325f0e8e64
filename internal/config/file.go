// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
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
	set := &rules.Set{}
	err = mapping.Each(doc.Content[0], func(key, v *yaml.Node) (err error) {
		if key.Value == "rules" {
			set, err = rules.Parse(v)
			return err
		}
		if found, err := sections.section(key.Value, v); found || err != nil {
			return err
		}
		flag := flags.Lookup(key.Value)
		switch {
		case flag == nil || notInFile[key.Value]:
			return mapping.ErrorAt(key, "unknown key %q: use the name of a flag, or rules, prices, budgets or ship", key.Value)
		case v.Kind != yaml.ScalarNode:
			return mapping.ErrorAt(v, "%s needs one value", key.Value)
		case flag.Changed:
			return nil // the command line wins
		}
		if err := flag.Value.Set(v.Value); err != nil {
			return mapping.ErrorAt(v, "bad %s %q: %v", key.Value, v.Value, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

// notInFile are the flags that make no sense in a file.
var notInFile = map[string]bool{"config": true, "check": true, "stop-accounting": true, "help": true, "version": true}
