// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"io"
	"time"

	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/internal/tally"
)

// Restore takes over what the store holds, finds out which members still live,
// adopts what they forked meanwhile, and replays the backlog of the ledger. The
// events must be subscribed to and read before, so that nothing falls in between.
// resumed tells that they go on where the last run stopped. Progress is shown on
// terminal, if that is one.
func (p *Pipeline) Restore(st *store.State, resumed bool, terminal io.Writer) error {
	boot, err := p.Proc.FS().BootID()
	if err != nil {
		return fmt.Errorf("read boot id: %w", err)
	}
	p.replay = newReplay(p.Log, terminal, p.Notify)
	p.setClocks()
	p.meta, p.position = st.Meta, st.Meta.Position
	p.goOnReading(st.Meta.Ring)
	switch rebooted := p.Engine.Load(st, boot, readNow()); {
	case rebooted:
		err = p.afterReboot(st)
	case resumed:
		err = p.resumeStream(st)
	default:
		err = p.resume(st)
	}
	if err != nil {
		return err
	}
	fault.Point(fault.RestoreJoined)
	p.meta.CleanStop = false
	p.meta.Stored, p.meta.StoredTaskstats = nil, nil
	if err := p.commit(); err != nil {
		return err
	}
	fault.Point(fault.RestoreCommit)
	p.replay.end()
	p.replay = nil
	if err := p.Engine.ApplyRules(readNow()); err != nil {
		return err
	}
	p.Service.Started = time.Now()
	return nil
}

// resume goes on within the same boot.
func (p *Pipeline) resume(st *store.State) error {
	if err := p.Engine.GoOn(st, readNow()); err != nil {
		return err
	}
	fault.Point(fault.RestoreScanned)
	p.backlog()
	return p.step()
}

// resumeStream goes on with the events since the stop, in their order.
func (p *Pipeline) resumeStream(st *store.State) error {
	since, before := readNow(), p.Engine.Counts()
	p.Engine.GoOnWithStream(st, since)
	if err := p.drain(); err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	n := p.Engine.Counts()
	p.Log.Info("went on with the stored events", "forks", n[tally.Forks]-before[tally.Forks], "lost", n[tally.EventsLost])
	if err := p.Engine.GoneOn(since, readNow()); err != nil {
		return err
	}
	p.backlog()
	return p.step()
}

// afterReboot bills the members of the last boot, which have all ended.
func (p *Pipeline) afterReboot(st *store.State) error {
	p.Log.Info("machine was rebooted: members of the last boot have ended", "members", len(st.Members))
	p.Engine.BeginAfterReboot(st, readNow())
	p.backlog()
	if err := p.step(); err != nil {
		return err
	}
	return p.Engine.EndOfBoot(readNow())
}

// backlog tells of what the next step will read: twice, if lines may name
// processes that nobody saw.
func (p *Pipeline) backlog() {
	if p.Sources.Ledger == nil {
		return
	}
	end, err := p.Sources.Ledger.End()
	if err != nil {
		return // step will say it
	}
	n, times := p.Sources.Ledger.Backlog(p.position, end), int64(1)
	if !p.Engine.Doubtless() {
		times = 2
	}
	if n <= 0 {
		return
	}
	p.replay.begin(n, times)
	if trusted := p.Engine.Trusted(); trusted > 0 {
		p.Log.Info("replaying accounting backlog", "bytes", n, "since", readNow().Boot.Sub(trusted).Round(time.Second))
	}
}
