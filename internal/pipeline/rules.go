// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"elsa/internal/rules"
)

// rulesATurn is to how many processes rules are applied in one turn, some 50 µs each:
// events and requests come in between.
const rulesATurn = 64

// SetRules puts rules in place of the old ones, and returns once they were applied to
// every process there is.
func (p *Pipeline) SetRules(ctx context.Context, set *rules.Set) error {
	return p.applyRules(ctx, func(t Turn) error { return t.Engine().SetRules(set, t.Now()) })
}

// Named applies the rules again to processes for which they asked for names that were
// not known; see [engine.Engine.Named].
func (p *Pipeline) Named(ctx context.Context) error {
	return p.applyRules(ctx, func(t Turn) error { return t.Engine().Named(t.Now()) })
}

func (p *Pipeline) applyRules(ctx context.Context, begin func(Turn) error) error {
	err := p.Do(ctx, func(t Turn) error {
		if err := t.Sync(false); err != nil {
			return err
		}
		return begin(t)
	})
	for more := true; more && err == nil; {
		err = p.Do(ctx, func(t Turn) (err error) {
			more, err = t.Engine().ApplySome(rulesATurn, t.Now())
			return err
		})
	}
	return err
}
