// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"elsa/internal/escape"
)

// numberOf tells the value of a column of numbers. Yes is 1, and a status that is not
// known -1.
var numberOf = [columns]func(*record) int64{
	SegmentNumber:       func(c *record) int64 { return int64(c.Segment) },
	Seq:                 func(c *record) int64 { return int64(c.Seq) },
	Part:                func(c *record) int64 { return int64(c.Part) },
	Ended:               func(c *record) int64 { return c.Ended },
	Started:             func(c *record) int64 { return c.Started },
	Elapsed:             func(c *record) int64 { return int64(c.Elapsed) },
	PID:                 func(c *record) int64 { return int64(c.PID) },
	PPID:                func(c *record) int64 { return int64(c.PPID) },
	ParentStarted:       func(c *record) int64 { return c.ParentStarted },
	Unattributed:        func(c *record) int64 { return bit(c.Unattributed) },
	UID:                 func(c *record) int64 { return int64(c.UID) },
	GID:                 func(c *record) int64 { return int64(c.GID) },
	Status:              (*record).statusNumber,
	CPUUser:             func(c *record) int64 { return int64(c.CPUUser) },
	CPUSystem:           func(c *record) int64 { return int64(c.CPUSystem) },
	CPUDelay:            func(c *record) int64 { return int64(c.CPUDelay) },
	MinorFaults:         func(c *record) int64 { return int64(c.MinorFaults) },
	MajorFaults:         func(c *record) int64 { return int64(c.MajorFaults) },
	ReadBytes:           func(c *record) int64 { return int64(c.ReadBytes) },
	WriteBytes:          func(c *record) int64 { return int64(c.WriteBytes) },
	ReadChars:           func(c *record) int64 { return int64(c.ReadChars) },
	WriteChars:          func(c *record) int64 { return int64(c.WriteChars) },
	MaxRSS:              func(c *record) int64 { return int64(c.MaxRSS) },
	VoluntarySwitches:   func(c *record) int64 { return int64(c.Voluntary) },
	InvoluntarySwitches: func(c *record) int64 { return int64(c.Involuntary) },
	Inferred:            func(c *record) int64 { return bit(c.Inferred) },
}

// textOf tells the value of a column of text.
var textOf = [columns]func(*record) string{
	Source:    func(c *record) string { return c.Source },
	Host:      func(c *record) string { return c.Host },
	Boot:      func(c *record) string { return c.Boot },
	UserName:  func(c *record) string { return c.User },
	Command:   func(c *record) string { return c.Command },
	Precision: func(c *record) string { return c.Precision },
}

func (c *record) statusNumber() int64 {
	if c.Status == nil {
		return -1
	}
	return int64(*c.Status)
}

// appendJSON appends the value of a column. The end is a time as in RFC 3339.
func (c *record) appendJSON(b []byte, col Column) []byte {
	switch {
	case col == Groups:
		b = append(b, '[')
		for i, g := range c.Groups {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, g)
		}
		return append(b, ']')
	case text[col]:
		return appendString(b, textOf[col](c))
	case col == Ended:
		b = append(b, '"')
		return append(time.Unix(0, c.Ended).UTC().AppendFormat(b, time.RFC3339Nano), '"')
	case col == Unattributed || col == Inferred:
		return strconv.AppendBool(b, numberOf[col](c) != 0)
	case col == Status && c.Status == nil:
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, numberOf[col](c), 10)
}

// appendText appends the value of a column for a spreadsheet.
func (c *record) appendText(b []byte, col Column) []byte {
	switch {
	case col == Groups:
		return append(b, escape.Cell(strings.Join(c.Groups, " "))...)
	case text[col]:
		return append(b, escape.Cell(textOf[col](c))...)
	case col == Ended:
		return time.Unix(0, c.Ended).UTC().AppendFormat(b, time.RFC3339Nano)
	case col == Unattributed || col == Inferred:
		return strconv.AppendBool(b, numberOf[col](c) != 0)
	case col == Status && c.Status == nil:
		return b
	}
	return strconv.AppendInt(b, numberOf[col](c), 10)
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	if !escape.Plain(s) || strings.ContainsAny(s, `"\`) {
		quoted, _ := json.Marshal(s) // a string has one
		return append(b, quoted...)
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

// appendObject appends the columns as members of a JSON object.
func (c *record) appendObject(b []byte, cs []Column) []byte {
	b = append(b, '{')
	for i, col := range cs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), names[col]...), '"', ':')
		b = c.appendJSON(b, col)
	}
	return append(b, '}')
}

// fields are all columns, for a spreadsheet: pieces of one text. The list is used again.
func (c *record) fields(list []string, room []byte) ([]string, []byte) {
	var ends [columns]int
	room = room[:0]
	for col := range columns {
		room = c.appendText(room, col)
		ends[col] = len(room)
	}
	all, from := string(room), 0
	list = list[:0]
	for _, end := range ends {
		list = append(list, all[from:end])
		from = end
	}
	return list, room
}
