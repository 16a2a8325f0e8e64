// SPDX-License-Identifier: Apache-2.0

package client

import "context"

// RenameRequest asks to give a group another name.
type RenameRequest struct {
	Name string `json:"name"`
}

// MergeRequest asks to merge the group From into another: its members, bill and history
// go there, and it is deleted.
type MergeRequest struct {
	From string `json:"from"`
}

// LabelRequest asks to change labels of a group: those in Remove go, and then those in
// Set are set. Others stay.
type LabelRequest struct {
	Set    map[string]string `json:"set,omitempty"`
	Remove []string          `json:"remove,omitempty"`
}

// RenameGroup gives a group another name. What was archived before keeps the old one.
func (c *Client) RenameGroup(ctx context.Context, name string, r RenameRequest) (g Group, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/rename", r, &g)
	return g, err
}

// MergeGroup merges another group into the group name. Who was in both counts once.
func (c *Client) MergeGroup(ctx context.Context, name string, r MergeRequest) (g Group, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/merge", r, &g)
	return g, err
}

// ReopenGroup lets a closed group take new members again.
func (c *Client) ReopenGroup(ctx context.Context, name string) (g Group, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/reopen", nil, &g)
	return g, err
}

// LabelGroup changes labels of a group.
func (c *Client) LabelGroup(ctx context.Context, name string, r LabelRequest) (g Group, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/labels", r, &g)
	return g, err
}
