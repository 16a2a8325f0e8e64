// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"elsa/internal/kerneltest"
	"elsa/pkg/stream"

	"golang.org/x/sys/unix"
)

// BenchmarkKernelReceive measures what receiving an event costs, in CPU time of
// this whole process: for a Conn, and for the plain way, one recvfrom per event.
// "live" reads while another process makes threads as fast as it can; "drain"
// reads what has gathered in the socket. One operation is one thread, which is
// two events.
func BenchmarkKernelReceive(b *testing.B) {
	needProc(b)
	for _, gathered := range []bool{false, true} {
		name := map[bool]string{false: "live", true: "drain"}[gathered]
		b.Run(name+"/conn", func(b *testing.B) { benchmarkConn(b, gathered) })
		b.Run(name+"/recvfrom", func(b *testing.B) { benchmarkRecvfrom(b, gathered) })
	}
}

func benchmarkConn(b *testing.B, gathered bool) {
	c, err := Dial(b.Context(), Config{Source: SourceProc})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	storm := startStorm(b, gathered)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	before := measure(b)
	go func() { done <- c.Run(ctx) }()
	storm.Release()
	var events, lost uint64
	for ended := false; !ended; {
		batch := <-c.Batches()
		for i := range batch.Items {
			e := &batch.Items[i]
			ended = ended || e.Kind == Exit && int(e.PID) == storm.PID
		}
		events += uint64(len(batch.Items))
		lost += batch.Lost
		c.Release(batch)
	}
	before.report(b, events, lost)
	cancel()
	for range c.Batches() {
	}
	if err := <-done; err != nil {
		b.Error(err)
	}
}

func benchmarkRecvfrom(b *testing.B, gathered bool) {
	c, err := Dial(b.Context(), Config{Source: SourceProc})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	fd := c.Descriptor()
	if err := unix.SetNonblock(fd, false); err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	storm := startStorm(b, gathered)
	buf := make([]byte, 256)
	before := measure(b)
	storm.Release()
	var events uint64
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			b.Fatal(errno)
		}
		e, err := DecodeProc(buf[:n])
		if err != nil {
			b.Fatal(err)
		}
		events++
		if e.Kind == Exit && int(e.PID) == storm.PID {
			break
		}
	}
	lost, err := stream.Drops(fd)
	if err != nil {
		b.Fatal(err)
	}
	before.report(b, events, uint64(lost))
}

// startStorm returns a process that will make b.N threads when released, or
// has made them and ended if they are to gather.
func startStorm(b *testing.B, gathered bool) *kerneltest.Child {
	b.Helper()
	storm := kerneltest.Spawn(b, "threads", fmt.Sprint(b.N))
	storm.Line() // it is ready
	if gathered {
		storm.Release()
		storm.Wait()
	}
	return storm
}

// threadsRole makes threads, one after the other, when it is released.
func threadsRole(args []string) int {
	n, _ := strconv.Atoi(args[0])
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	done := make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			done <- struct{}{}
		}()
		<-done
	}
	return 0
}

type measured struct {
	cpu     time.Duration
	mallocs uint64
}

func measure(b *testing.B) measured {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return measured{time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), ms.Mallocs}
}

func (before measured) report(b *testing.B, events, lost uint64) {
	after := measure(b)
	b.ReportMetric(float64(after.cpu-before.cpu)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(after.mallocs-before.mallocs)/float64(events), "allocs/event")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(lost), "lost")
}

// BenchmarkDecodeProc is the share of it that is decoding.
func BenchmarkDecodeProc(b *testing.B) {
	d := fixture(b, "fork")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeProc(d); err != nil {
			b.Fatal(err)
		}
	}
}
