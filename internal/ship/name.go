// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"elsa/pkg/usage"
)

// The layout of a sink, as engines that know hive partitions read it:
//
//	cells/day=2026-03-04/source=UUID/05-0000000002-WRITER.parquet   hour and version
//	processes/day=2026-03-04/source=UUID/UUID-SEGMENT-WRITER.parquet
//	segments/source=UUID/WRITER.json                                the manifest
const (
	cellsPrefix = "cells/"
	// Processes is where all sealed files are.
	Processes = "processes/"
	// Manifests is where all manifests are.
	Manifests = "segments/"
)

// CellsDay is where the cells of a day of UTC are.
func CellsDay(day time.Time) string {
	return cellsPrefix + "day=" + day.UTC().Format(time.DateOnly) + "/"
}

// Cells is what the name of a file of cells says.
type Cells struct {
	Source  string
	Hour    uint32 // since 1970
	Version uint64
	Writer  string
}

// Name is the name of the file.
func (c Cells) Name() string {
	at := usage.HourStart(c.Hour)
	return fmt.Sprintf("%ssource=%s/%02d-%010d-%s.parquet", CellsDay(at), c.Source, at.Hour(), c.Version, c.Writer)
}

var cellsName = regexp.MustCompile(`^cells/day=(\d{4}-\d\d-\d\d)/source=([0-9a-f-]{36})/(\d\d)-(\d{10,20})-([0-9a-z]{8})\.parquet$`)

// ParseCells reads a name; false if it is not that of a file of cells.
func ParseCells(name string) (c Cells, ok bool) {
	m := cellsName.FindStringSubmatch(name)
	if m == nil {
		return c, false
	}
	day, err := time.Parse(time.DateOnly, m[1])
	hour, _ := strconv.Atoi(m[3])
	version, err2 := strconv.ParseUint(m[4], 10, 64)
	if err != nil || err2 != nil || hour > 23 || day.Unix() < 0 {
		return c, false
	}
	return Cells{m[2], uint32(day.Unix()/3600) + uint32(hour), version, m[5]}, true
}

// processesName is where a sealed file of the archive goes, by its path there:
// day=DAY/SOURCE-SEGMENT.parquet. try is how often it was sent under another name.
func processesName(day, file, writer string, try int) (string, bool) {
	base := strings.TrimSuffix(path.Base(file), ".parquet")
	if len(base) < 47 || !uuidText.MatchString(base[:36]) {
		return "", false
	}
	again := ""
	if try > 0 {
		again = fmt.Sprintf("-try%d", try)
	}
	return fmt.Sprintf("%sday=%s/source=%s/%s-%s%s.parquet", Processes, day, base[:36], base, writer, again), true
}

// Sealed is what the name of a sealed file says. Base is that of its file in the archive:
// those that have the same rows have the same.
type Sealed struct {
	Name, Day, Source, Base, Writer string
	Try                             int
}

// File is the name without its directory and ending.
func (s *Sealed) File() string { return strings.TrimSuffix(path.Base(s.Name), ".parquet") }

// ParseSealed reads a name; false if it is not that of a sealed file.
func ParseSealed(name string) (s Sealed, ok bool) {
	m := sealedName.FindStringSubmatch(name)
	if m == nil {
		return s, false
	}
	try, _ := strconv.Atoi(m[5])
	return Sealed{name, m[1], m[2], m[3], m[4], try}, true
}

var (
	sealedName  = regexp.MustCompile(`^processes/day=(\d{4}-\d\d-\d\d)/source=([0-9a-f-]{36})/([0-9a-f-]{36}-\d{10}[0-9-]*)-([0-9a-z]{8})(?:-try(\d{1,9}))?\.parquet$`)
	uuidText    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	manifestRow = regexp.MustCompile(`^segments/source=([0-9a-f-]{36})/([0-9a-z]{8})\.json$`)
)

func manifestName(source, writer string) string {
	return fmt.Sprintf("%ssource=%s/%s.json", Manifests, source, writer)
}
