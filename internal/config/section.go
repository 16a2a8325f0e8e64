// SPDX-License-Identifier: Apache-2.0

package config

import (
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// DefaultFile is the configuration file of elsad and elsactl.
const DefaultFile = "/etc/elsa/elsa.yaml"

// Sections are what a configuration file has beside flags and rules.
type Sections struct {
	// Prices are as package price reads them; nil if there are none. elsad has no use
	// for them.
	Prices *yaml.Node
	// Budgets are in the order of the file.
	Budgets []Budget
	// Ship is for elsa-archive.
	Ship Ship
}

// ReadSections reads the sections of a configuration file, and checks the rest of it.
// An error names file and line.
func ReadSections(path string) (s Sections, err error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(Config).Flags(flags)
	s.Ship = DefaultShip
	_, err = readFile(path, flags, &s)
	return s, err
}

// section reads what is neither a flag nor rules; found is false if it is none.
func (s *Sections) section(key string, v *yaml.Node) (found bool, err error) {
	switch key {
	case "prices":
		s.Prices = v
	case "budgets":
		s.Budgets, err = parseBudgets(v)
	case "ship":
		s.Ship, err = parseShip(v)
	default:
		return false, nil
	}
	return true, err
}
