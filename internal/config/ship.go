// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
)

// Ship says where a host delivers its bills.
type Ship struct {
	// To is a directory, s3://BUCKET/PREFIX or clickhouse://HOST/DATABASE; "" delivers nothing.
	To string
	// Processes: the sealed files of the archive are delivered, too.
	Processes bool
	// Every is how often what changed is delivered.
	Every time.Duration
	// SpoolBytes and SpoolDays bound what waits to be delivered.
	SpoolBytes int64
	SpoolDays  int
	// HideCommands and HideUsers: these do not leave the host.
	HideCommands, HideUsers bool
}

// DefaultShip is what holds where a file says nothing.
var DefaultShip = Ship{Every: 5 * time.Minute, SpoolBytes: 256 << 20, SpoolDays: 8}

func parseShip(n *yaml.Node) (s Ship, err error) {
	s = DefaultShip
	if n.Kind != yaml.MappingNode {
		return s, mapping.ErrorAt(n, "ship needs keys, as in {to: /mnt/fleet}")
	}
	err = mapping.Each(n, func(key, v *yaml.Node) (err error) {
		if key.Value == "hide" {
			return s.hide(v)
		}
		if v.Kind != yaml.ScalarNode {
			return mapping.ErrorAt(v, "%s needs one value", key.Value)
		}
		switch key.Value {
		case "to":
			s.To = v.Value
		case "stream":
			if v.Value != "cells" && v.Value != "processes" {
				return mapping.ErrorAt(v, "stream is %q; use cells, or processes for both", v.Value)
			}
			s.Processes = v.Value == "processes"
		case "every":
			if s.Every, err = time.ParseDuration(v.Value); err != nil || s.Every < time.Second || s.Every > time.Hour {
				return mapping.ErrorAt(v, "every is %q; use 1s to 1h", v.Value)
			}
		case "spool-bytes":
			if s.SpoolBytes, err = strconv.ParseInt(v.Value, 10, 64); err != nil || s.SpoolBytes < 1<<20 {
				return mapping.ErrorAt(v, "spool-bytes is %q; use 1048576 or more", v.Value)
			}
		case "spool-days":
			if s.SpoolDays, err = strconv.Atoi(v.Value); err != nil || s.SpoolDays < 1 || s.SpoolDays > 3650 {
				return mapping.ErrorAt(v, "spool-days is %q; use 1 to 3650", v.Value)
			}
		default:
			return mapping.ErrorAt(key, "unknown key %q of ship: use to, stream, every, spool-bytes, spool-days and hide", key.Value)
		}
		return nil
	})
	if err == nil && s.To == "" {
		err = mapping.ErrorAt(n, "ship needs to: a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	}
	return s, err
}

func (s *Ship) hide(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return mapping.ErrorAt(n, "hide needs a list, as in [command, user]")
	}
	for _, v := range n.Content {
		switch v.Value {
		case "command":
			s.HideCommands = true
		case "user":
			s.HideUsers = true
		default:
			return mapping.ErrorAt(v, "hide has %q; use command and user", v.Value)
		}
	}
	return nil
}
