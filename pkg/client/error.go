// SPDX-License-Identifier: Apache-2.0

package client

// Error is a refusal or a failure, sent as application/problem+json (RFC 9457).
type Error struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Title names the kind of error, the same for every error of a kind.
	Title string `json:"title"`
	// Detail is one sentence about this very error, for a person.
	Detail string `json:"detail,omitempty"`
}

func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Title
}
