// SPDX-License-Identifier: Apache-2.0

// Package api is the service's side of its control socket: the server, who may
// do what, and how what the service knows becomes the JSON it speaks. That JSON
// and the side of those who ask are elsa/pkg/client; openapi.yaml describes the
// same for everyone else.
package api

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"elsa/pkg/groups"
)

// AdminGroup is the unix group whose members may do what root may.
const AdminGroup = "elsa"

// Caller is who asks, as the kernel told the server (SO_PEERCRED, SO_PEERGROUPS
// of the connection): the credentials the process had when it connected.
type Caller struct {
	UID, GID uint32
	// PID is 0 when the caller is in a pid namespace the server cannot see.
	PID int32
	// Nested: the caller is in another pid namespace than the server, as in a
	// container, or it cannot be told. The pids it knows mean other processes to
	// the server.
	Nested bool
	// Admin is true for root and for members of [AdminGroup].
	Admin bool
}

// MayChange returns nil if the caller may change g or see its members: its
// owner may, and so may an admin. Otherwise it returns a 403 [Error].
func (c Caller) MayChange(g *groups.Group) error {
	if c.Admin || c.UID == g.Owner {
		return nil
	}
	return Forbidden("group %s belongs to uid %d; only its owner, root and members of unix group %s may do this", g.Name, g.Owner, AdminGroup)
}

// MaySee returns nil if the caller may see g and its own processes there: who may
// change it may, and the user for whom a rule made it. Otherwise it returns a 403
// [Error].
func (c Caller) MaySee(g *groups.Group) error {
	if c.Has(g) {
		return nil
	}
	return c.MayChange(g)
}

// Has reports whether a group is the caller's: its own, or one that a rule made for
// the caller's processes.
func (c Caller) Has(g *groups.Group) bool {
	return c.UID == g.Owner || g.User != nil && *g.User == c.UID
}

// MayTakeOut returns nil if the caller may take the process pid out of g, as a move
// does. Otherwise it returns a 403 [Error].
func (c Caller) MayTakeOut(pid int, g *groups.Group) error {
	if c.Admin || c.UID == g.Owner {
		return nil
	}
	return Forbidden("process %d is in group %s, which belongs to uid %d; only its owner, root and members of unix group %s may take it out, so add it without move", pid, g.Name, g.Owner, AdminGroup)
}

// MayAdd returns nil if the caller may put the process pid, whose real uid is
// owner, in a group of its own. Otherwise it returns a 403 [Error].
func (c Caller) MayAdd(pid int, owner uint32) error {
	if c.Admin || c.UID == owner {
		return nil
	}
	return Forbidden("process %d belongs to uid %d; only that user, root and members of unix group %s may add it", pid, owner, AdminGroup)
}

// MayName returns nil if the process ids that the caller knows are the server's.
// Otherwise it returns a 403 [Error].
func (c Caller) MayName() error {
	if !c.Nested {
		return nil
	}
	return Forbidden("the caller is in a pid namespace of its own, as in a container, where process ids mean other processes: name processes from the host, by the ids they have there")
}

// Service is what the daemon offers. The server checks the form of a request
// (names, pids, labels) before it calls; who may do what is the service's
// matter. All methods are safe for concurrent use and may block until a change
// is durable. ctx ends when the caller hangs up.
//
// An error that is an [*Error] is sent to the caller as it is. Any other is
// logged by the server and sent as a bare 500.
type Service interface {
	CreateGroup(ctx context.Context, c Caller, r CreateGroupRequest) (Group, error)
	Groups(ctx context.Context, c Caller) ([]Group, error)
	Group(ctx context.Context, c Caller, name string) (GroupDetail, error)
	// Ungrouped lists the live processes that are in no group.
	Ungrouped(ctx context.Context, c Caller) (Ungrouped, error)
	AddMembers(ctx context.Context, c Caller, name string, r AddRequest) (AddResult, error)
	// Join puts the caller's own process in a group. It may return before the change
	// is durable, which it is soon after.
	Join(ctx context.Context, c Caller, r JoinRequest) (JoinResult, error)
	RemoveMembers(ctx context.Context, c Caller, name string, r RemoveRequest) (RemoveResult, error)
	CloseGroup(ctx context.Context, c Caller, name string) (Group, error)
	ReopenGroup(ctx context.Context, c Caller, name string) (Group, error)
	RenameGroup(ctx context.Context, c Caller, name string, r RenameRequest) (Group, error)
	// MergeGroup merges a group into the one that is named.
	MergeGroup(ctx context.Context, c Caller, name string, r MergeRequest) (Group, error)
	LabelGroup(ctx context.Context, c Caller, name string, r LabelRequest) (Group, error)
	DeleteGroup(ctx context.Context, c Caller, name string) error
	// Usage reports on groups. With Wait it first waits, bounded, until every process
	// that died before the call is on its bill.
	Usage(ctx context.Context, c Caller, q UsageQuery) (UsageReport, error)
	// Report adds up what processes used over a time.
	Report(ctx context.Context, c Caller, q ReportQuery) (Report, error)
	// Cells tells the cells of hours that changed, some hours at a time.
	Cells(ctx context.Context, c Caller, q CellsQuery) (Cells, error)
	// Explain says why a process is in its groups.
	Explain(ctx context.Context, c Caller, pid int) (Explanation, error)
	// TryRules says what the rules would do with a process.
	TryRules(ctx context.Context, c Caller, pid int) (RulesTrial, error)
	Status(ctx context.Context, c Caller) (Status, error)
	// Backup returns a file that holds a consistent copy of the database, read
	// from its beginning. The server closes it.
	Backup(ctx context.Context, c Caller) (*os.File, error)
}

// MayBackup returns nil if the caller may read everything the service knows.
// Otherwise it returns a 403 [Error].
func (c Caller) MayBackup() error {
	if c.Admin {
		return nil
	}
	return Forbidden("a backup holds what every user ran; only root and members of unix group %s may take one", AdminGroup)
}

// newError makes an error of an HTTP status, with a sentence for a person.
func newError(status int, format string, args []any) *Error {
	return &Error{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// BadRequest is status 400: the request makes no sense.
func BadRequest(format string, args ...any) *Error {
	return newError(http.StatusBadRequest, format, args)
}

// Forbidden is status 403: the caller may not do this.
func Forbidden(format string, args ...any) *Error {
	return newError(http.StatusForbidden, format, args)
}

// NotFound is status 404: what the request names does not exist.
func NotFound(format string, args ...any) *Error {
	return newError(http.StatusNotFound, format, args)
}

// Conflict is status 409: the state of things does not allow it.
func Conflict(format string, args ...any) *Error {
	return newError(http.StatusConflict, format, args)
}

// Unavailable is status 503: not now, for instance while the service starts or
// its disk is full.
func Unavailable(format string, args ...any) *Error {
	return newError(http.StatusServiceUnavailable, format, args)
}
