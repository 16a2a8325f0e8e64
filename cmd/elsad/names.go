// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"elsa/internal/nss"
	"elsa/internal/pipeline"
	"elsa/internal/rules"
	"elsa/pkg/api"
)

// namesWait is how long the start, and SIGHUP, wait for names that rules are about. What
// comes later is applied then.
const namesWait = 5 * time.Second

// wantNames looks up the names that rules are about, and says which nobody has.
func wantNames(ctx context.Context, names *nss.Names, set *rules.Set, log *slog.Logger) {
	users, unixGroups := set.Names()
	names.Want(users, append(unixGroups, api.AdminGroup))
	ctx, cancel := context.WithTimeout(ctx, namesWait)
	defer cancel()
	names.Look(ctx)
	for _, l := range set.Unknown(names) {
		log.Warn("a rule names somebody whom the name service does not know (getent); it is asked again", "rule", l)
	}
}

// named applies rules that asked for names which are known now.
func named(ctx context.Context, p *pipeline.Pipeline, log *slog.Logger) {
	if err := p.Named(ctx); err != nil && ctx.Err() == nil {
		log.Warn("cannot apply rules to names that became known", "err", err)
	}
}
