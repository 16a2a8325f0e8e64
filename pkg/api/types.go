// SPDX-License-Identifier: Apache-2.0

package api

import "elsa/pkg/client"

// What goes over the socket, as elsa/pkg/client defines it: server and client
// cannot differ.
type (
	Group              = client.Group
	GroupDetail        = client.GroupDetail
	Member             = client.Member
	Ungrouped          = client.Ungrouped
	CreateGroupRequest = client.CreateGroupRequest
	AddRequest         = client.AddRequest
	AddResult          = client.AddResult
	JoinRequest        = client.JoinRequest
	JoinResult         = client.JoinResult
	RemoveRequest      = client.RemoveRequest
	RemoveResult       = client.RemoveResult
	RenameRequest      = client.RenameRequest
	MergeRequest       = client.MergeRequest
	LabelRequest       = client.LabelRequest
	UsageQuery         = client.UsageQuery
	ParentUsage        = client.ParentUsage
	Usage              = client.Usage
	Precision          = client.Precision
	GroupUsage         = client.GroupUsage
	UsageReport        = client.UsageReport
	Status             = client.Status
	StatusSources      = client.StatusSources
	StatusEvents       = client.StatusEvents
	StatusRecords      = client.StatusRecords
	StatusSamples      = client.StatusSamples
	StatusRules        = client.StatusRules
	StatusNames        = client.StatusNames
	StatusJournal      = client.StatusJournal
	StatusConservation = client.StatusConservation
	ReportQuery        = client.ReportQuery
	Report             = client.Report
	ReportRow          = client.ReportRow
	Spent              = client.Spent
	CellsQuery         = client.CellsQuery
	Cells              = client.Cells
	CellsHour          = client.CellsHour
	Cell               = client.Cell
	FillState          = client.FillState
	FillQuery          = client.FillQuery
	FillGroup          = client.FillGroup
	FillRows           = client.FillRows
	RowName            = client.RowName
	FillRequest        = client.FillRequest
	FillCell           = client.FillCell
	FillResult         = client.FillResult
	Process            = client.Process
	Explanation        = client.Explanation
	Membership         = client.Membership
	Ancestor           = client.Ancestor
	Origin             = client.Origin
	RulesTrial         = client.RulesTrial
	RuleVerdict        = client.RuleVerdict
	RuleCondition      = client.RuleCondition
	Error              = client.Error
)

// MaxFillCells is how many cells a request to fill may have.
const MaxFillCells = client.MaxFillCells
