// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"strings"

	"elsa/pkg/acct"
)

// Field is the place of a figure in [Usage], and if it is below [Measured] in
// [Measure]. All that keeps, adds, shows or sends figures goes by the table below:
// a new figure gets a constant, a line in the table, its place in [Stored] and,
// where a record has it, one in measureOf.
type Field int

// What is measured of one process. A new one goes to the end: this is the order in
// which the database has a [Measure].
const (
	User    Field = iota // CPU time in user mode, ns
	System               // CPU time in the kernel, ns
	Elapsed              // life times of the ended processes, ns; not wall time
	MinorFaults
	MajorFaults
	ReadBytes  // from storage
	WriteBytes // to storage
	ReadChars  // through read(2)
	WriteChars // through write(2)
	MaxRSS     // the largest resident set any one of the processes had, bytes
	VoluntarySwitches
	InvoluntarySwitches
	CPUDelay // waiting for a CPU, ns: cpu_delay_total of struct taskstats, so of ended processes

	// Measured is how many fields are measured of one process.
	Measured
)

// What is counted of a set of processes.
const (
	// Started counts the processes that came in, by fork or by being added; Ended
	// those whose death is on the bill.
	Started = Measured + iota
	Ended
	// Live counts the processes that are in at the moment of a snapshot. It is
	// derived, never stored.
	Live
	// ExitNonzero counts exits with a status other than 0, ExitSignal deaths by a
	// signal.
	ExitNonzero
	ExitSignal
	// Exact, Sampled and Rounded count ended processes by how well their CPU is
	// known; they add up to Ended. Inferred counts those among them whose
	// membership was found after loss.
	Exact
	Sampled
	Rounded
	Inferred

	// Fields is how many fields there are.
	Fields
)

// measureOf takes the figures of a record. The CPU is the record's total, split
// by the kernel's ratio of user to system time.
func measureOf(r *acct.Record) Measure {
	m := Measure{
		User: uint64(r.User), System: uint64(r.System), Elapsed: uint64(r.Elapsed),
		MinorFaults: r.MinorFaults, MajorFaults: r.MajorFaults,
		ReadBytes: r.ReadBytes, WriteBytes: r.WriteBytes, ReadChars: r.ReadChars, WriteChars: r.WriteChars,
		MaxRSS:            r.MaxRSS,
		VoluntarySwitches: r.VoluntarySwitches, InvoluntarySwitches: r.InvoluntarySwitches,
		CPUDelay: uint64(r.CPUDelay),
	}
	if r.CPU > 0 {
		m.setCPU(r.CPU)
	}
	return m
}

// Stored is the order in which the database has the fields of a [Usage]. A new one
// goes to the end, and none ever moves.
var Stored = [...]Field{
	Started, Ended, User, System, Elapsed, MinorFaults, MajorFaults, ReadBytes, WriteBytes, ReadChars, WriteChars,
	MaxRSS, VoluntarySwitches, InvoluntarySwitches, ExitNonzero, ExitSignal, Exact, Sampled, Rounded, Inferred,
	CPUDelay,
}

// Info says what a field is and where it shows.
type Info struct {
	// Name is the member that has it in JSON and the column in CSV. Report is that
	// of a report where it is another, "-" where reports do not have it.
	Name, Report string
	Unit         Unit
	// Peak: the largest of all processes counts. All other fields are sums.
	Peak bool
	// Series are the metrics that have it, none if Family is nil.
	Series Series
	// Title names it in the bill on a group's page, "" where that has it elsewhere.
	Title string
	// Sort is the word by which reports are sorted by it, "" if they are not.
	Sort string
}

// Unit is what a field counts.
type Unit uint8

// The units of fields.
const (
	Count   Unit = iota
	Bytes        // shown as bytes
	Seconds      // nanoseconds, shown as seconds
)

// Series is one series of a family of metrics.
type Series struct {
	Family *Family
	// Value is that of the family's label.
	Value string
}

// Family are metrics of one name.
type Family struct {
	// Name comes after a prefix that says whose figures they are. Help has one %s
	// where it says so.
	Name, Help string
	// Label tells the series of a family apart, "" if there is only one.
	Label string
	// Gauge: it may fall. All others are counters.
	Gauge bool
}

var (
	cpuFamily   = Family{Name: "cpu_seconds_total", Help: "CPU time used by processes %s, ended and live.", Label: "mode"}
	delayFamily = Family{Name: "cpu_delay_seconds_total", Help: "Time that ended processes %s waited for a CPU."}
	rssFamily   = Family{Name: "max_rss_bytes", Help: "Largest resident set of any one process %s.", Gauge: true}
	faultFamily = Family{Name: "page_faults_total", Help: "Page faults of processes %s.", Label: "kind"}
	liveFamily  = Family{Name: "processes", Help: "Live processes %s.", Gauge: true}
	endFamily   = Family{Name: "processes_ended_total", Help: "Ended processes %s."}
	startFamily = Family{Name: "processes_started_total", Help: "Processes started or added %s."}
	readFamily  = Family{Name: "read_bytes_total", Help: "Bytes read from storage by processes %s."}
	writeFamily = Family{Name: "write_bytes_total", Help: "Bytes written to storage by processes %s."}
)

// table describes every field.
var table = [Fields]Info{
	User:        {Name: "cpu_user_seconds", Unit: Seconds, Series: Series{&cpuFamily, "user"}, Title: "User CPU", Sort: "user"},
	System:      {Name: "cpu_system_seconds", Unit: Seconds, Series: Series{&cpuFamily, "system"}, Title: "System CPU", Sort: "system"},
	Elapsed:     {Name: "elapsed_seconds", Unit: Seconds, Title: "Elapsed, all ended", Sort: "elapsed"},
	MinorFaults: {Name: "minor_faults", Series: Series{&faultFamily, "minor"}, Title: "Page faults, minor", Sort: "minor"},
	MajorFaults: {Name: "major_faults", Series: Series{&faultFamily, "major"}, Title: "Page faults, major", Sort: "major"},
	ReadBytes:   {Name: "read_bytes", Unit: Bytes, Series: Series{Family: &readFamily}, Title: "Read from storage", Sort: "read"},
	WriteBytes:  {Name: "write_bytes", Unit: Bytes, Series: Series{Family: &writeFamily}, Title: "Written to storage", Sort: "written"},
	ReadChars:   {Name: "read_chars", Unit: Bytes},
	WriteChars:  {Name: "write_chars", Unit: Bytes},
	MaxRSS:      {Name: "max_rss_bytes", Unit: Bytes, Peak: true, Series: Series{Family: &rssFamily}, Sort: "memory"},

	VoluntarySwitches:   {Name: "voluntary_switches", Title: "Switches, voluntary"},
	InvoluntarySwitches: {Name: "involuntary_switches", Title: "Switches, involuntary"},

	CPUDelay: {Name: "cpu_delay_seconds", Unit: Seconds, Series: Series{Family: &delayFamily}, Title: "Waited for a CPU, all ended", Sort: "delay"},

	Started:     {Name: "processes_started", Report: "-", Series: Series{Family: &startFamily}, Title: "Processes started"},
	Ended:       {Name: "processes_ended", Report: "processes", Series: Series{Family: &endFamily}, Sort: "processes"},
	Live:        {Name: "processes_live", Report: "-", Series: Series{Family: &liveFamily}},
	ExitNonzero: {Name: "exit_nonzero", Title: "Exits, status not 0"},
	ExitSignal:  {Name: "exit_signal", Title: "Deaths by a signal"},
	Exact:       {Name: "exact"},
	Sampled:     {Name: "sampled"},
	Rounded:     {Name: "rounded"},
	Inferred:    {Name: "inferred"},
}

// peaks tells for each field whether it is one.
var peaks = func() (p [Fields]bool) {
	for f := range table {
		p[f] = table[f].Peak
	}
	return p
}()

// Info describes the field. It must not be changed.
func (f Field) Info() *Info { return &table[f] }

// Named is the field of a name, [Info].Name.
func Named(name string) (f Field, ok bool) {
	for f := range Fields {
		if table[f].Name == name {
			return f, true
		}
	}
	return 0, false
}

// Column is the name of the field in cells and in columns of files, where times are
// nanoseconds.
func (i *Info) Column() string {
	if name, ok := strings.CutSuffix(i.Name, "_seconds"); ok {
		return name + "_ns"
	}
	return i.Name
}

// InReport is the name of the field in a report, "" if it has none.
func (i *Info) InReport() string {
	switch i.Report {
	case "":
		return i.Name
	case "-":
		return ""
	}
	return i.Report
}
