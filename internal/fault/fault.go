// SPDX-License-Identifier: Apache-2.0

// Package fault lets tests break the service at named points. Without the
// build tag fault it does nothing and costs nothing.
//
// With the tag, ELSA_FAULT in the environment says what happens where:
//
//	POINT=kill@N     the process kills itself at the N-th pass of the point
//	POINT=enospc@N   passes N and later fail as on a full disk
//	POINT=enospc:M@N M passes from the N-th on fail
//
// Several are separated by commas. ELSA_FAULT_SIZES sets sizes in the same way:
// NAME=BYTES.
package fault

// The points, in the order a run of the service passes them.
const (
	RestoreLoaded  = "restore.loaded"  // the database is in memory
	RestoreScanned = "restore.scanned" // and /proc was read
	RestoreJoined  = "restore.joined"  // and the backlog is on the bills
	RestoreCommit  = "restore.commit"  // and that is committed

	StepDrained = "step.drained" // events and records are taken in
	StepJoined  = "step.joined"  // the lines are on the bills in memory

	CommitBegin       = "commit.begin"       // nothing is written
	CommitTransaction = "commit.transaction" // in the transaction, all is put
	CommitDone        = "commit.done"        // the transaction is on disk
	CommitReleased    = "commit.released"    // segments read are deleted
	CommitRotated     = "commit.rotated"     // a segment may be new

	SegmentCreate   = "segment.create"   // the next segment is not there
	SegmentCreated  = "segment.created"  // it is, the kernel writes to the last
	SegmentSwitched = "segment.switched" // the kernel writes to it
	SegmentRelease  = "segment.release"  // before one is deleted
	SegmentReleased = "segment.released" // after

	ResyncScanned = "resync.scanned" // after loss, the tracker is repaired
	StopStepped   = "stop.stepped"   // stopping, before the last commit
	StopCommitted = "stop.committed" // and after
)

// Points is every point.
var Points = []string{
	RestoreLoaded, RestoreScanned, RestoreJoined, RestoreCommit,
	StepDrained, StepJoined,
	CommitBegin, CommitTransaction, CommitDone, CommitReleased, CommitRotated,
	SegmentCreate, SegmentCreated, SegmentSwitched, SegmentRelease, SegmentReleased,
	ResyncScanned, StopStepped, StopCommitted,
}
