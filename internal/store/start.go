// SPDX-License-Identifier: Apache-2.0

package store

import (
	"elsa/internal/lineage"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// A start is stored as nanoseconds of CLOCK_BOOTTIME, and its grain apart from
// them, at the end of the value: files of early versions have none.

// ungrained is a start of a file without grains. /proc cuts starts down to its
// tick, and one stamp in ten million looks as if it had.
func ungrained(at clock.Boot) clock.Start {
	if at%clock.Boot(clock.ProcTick) == 0 {
		return clock.At(at, clock.Tick)
	}
	return clock.At(at, clock.Stamped)
}

// startAt is the start whose grain is in the list at i, if the list is as long.
func (l list) startAt(at clock.Boot, i int) clock.Start {
	if i < len(l) {
		return clock.At(at, clock.Grain(l[i]))
	}
	return ungrained(at)
}

// The JSON of keys: the outer Key hides the one that is embedded.
type (
	keyJSON struct {
		PID   int32
		Start clock.Boot
		Grain *clock.Grain
	}
	originJSON struct {
		lineage.Origin
		Key keyJSON
	}
	ancestorJSON struct {
		lineage.Ancestor
		Key keyJSON
	}
)

func encodeKey(k groups.Key) keyJSON {
	grain := k.Start.Grain()
	return keyJSON{k.PID, k.Start.Boot(), &grain}
}

func (k *keyJSON) key() groups.Key {
	if k.Grain == nil {
		return groups.Key{PID: k.PID, Start: ungrained(k.Start)}
	}
	return groups.Key{PID: k.PID, Start: clock.At(k.Start, *k.Grain)}
}
