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
// NAME=NUMBER, of bytes, rows or seconds.
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

	JournalAppend    = "journal.append"    // blocks are made, nothing is written
	JournalWritten   = "journal.written"   // they are written
	JournalSynced    = "journal.synced"    // and safe; the transaction is not begun
	JournalCommit    = "journal.commit"    // the transaction is on disk, its length is not in the segment
	JournalCommitted = "journal.committed" // it is
	JournalRotate    = "journal.rotate"    // a segment is full, the next is not there
	JournalRotated   = "journal.rotated"   // it is, with blocks
	JournalRelease   = "journal.release"   // before a sealed segment is deleted
	JournalReleased  = "journal.released"  // after

	FillTaken     = "fill.taken"     // a group has rows of the past in memory
	FillCommitted = "fill.committed" // they are on disk, and nobody was told
)

// The points of the archive's service, in their order.
const (
	SealBegin   = "seal.begin"   // a segment is read, nothing is written
	SealWritten = "seal.written" // a file is written under another name
	SealSynced  = "seal.synced"  // and safe
	SealRenamed = "seal.renamed" // and has its name
	SealListed  = "seal.listed"  // all files of the segment are in the list
	SealMarked  = "seal.marked"  // it is said that the segment is sealed
	PruneListed = "prune.listed" // files are off the list, and there

	ShipSpooled   = "ship.spooled"   // cells are in a file of the spool, the state does not say so
	ShipCollected = "ship.collected" // it says so, and how far the history is known
	ShipPut       = "ship.put"       // a file is in the sink, the state does not say so
	ShipSent      = "ship.sent"      // it says so
	ShipVerified  = "ship.verified"  // it was read back
	ShipRemoved   = "ship.removed"   // what it replaces is gone
	ShipPublish   = "ship.publish"   // the manifest's nonce is in the state
	ShipPublished = "ship.published" // the manifest is in the sink
)

// Points is every point that a run of the service without a journal may pass.
var Points = []string{
	RestoreLoaded, RestoreScanned, RestoreJoined, RestoreCommit,
	StepDrained, StepJoined,
	CommitBegin, CommitTransaction, CommitDone, CommitReleased, CommitRotated,
	SegmentCreate, SegmentCreated, SegmentSwitched, SegmentRelease, SegmentReleased,
	ResyncScanned, StopStepped, StopCommitted,
}

// JournalPoints are those of the journal, and ArchivePoints those of the archive's service.
var (
	JournalPoints = []string{
		JournalAppend, JournalWritten, JournalSynced, JournalCommit, JournalCommitted, JournalRotate, JournalRotated, JournalRelease, JournalReleased,
	}
	ArchivePoints = []string{SealBegin, SealWritten, SealSynced, SealRenamed, SealListed, SealMarked, PruneListed}
	// FillPoints are those of a group that takes rows of the past.
	FillPoints = []string{FillTaken, FillCommitted}
	// ShipPoints are those of delivery.
	ShipPoints = []string{ShipSpooled, ShipCollected, ShipPut, ShipSent, ShipVerified, ShipRemoved, ShipPublish, ShipPublished}
)
