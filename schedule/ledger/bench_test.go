package ledger

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fill writes n delivered records in transactions of 1000.
func fillLedger(b *testing.B, l *Ledger, n int) {
	b.Helper()
	at := time.UnixMilli(1_700_000_000_000)
	for from := 0; from < n; from += 1000 {
		rs := make([]Record, 0, 1000)
		for i := from; i < min(from+1000, n); i++ {
			rs = append(rs, Record{
				Key: Key{Account: "work", Folder: "INBOX", Validity: 1, UID: strconv.Itoa(i),
					Hash: sha256.Sum256([]byte(strconv.Itoa(i)))},
				State: Delivered, Disposed: true, Size: 12345, Token: fmt.Sprintf("tok%023d", i), Attempts: 1,
				First: at, Last: at, Client: "192.0.2.1", HELO: "mail.example.org", Sender: "someone@example.org",
				Recipients: "user@example.net", Code: 250, Reply: "2.0.0 Ok: queued as 4XyZ1234567", QueueID: "4XyZ1234567",
			})
		}
		put(b, l, rs...)
	}
}

// Opening a ledger of 200,000 records, after a clean close and after a crash.
func BenchmarkOpen200k(b *testing.B) {
	clean := b.TempDir()
	l := open(b, clean)
	fillLedger(b, l, 200_000)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("clean", func(b *testing.B) {
		for b.Loop() {
			l, err := Open(b.Context(), clean)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
		info, err := os.Stat(filepath.Join(clean, fileName))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/200_000, "file-B/record")
	})
	b.Run("crashed", func(b *testing.B) {
		l := open(b, clean)
		put(b, l, record("last", Delivered))
		crashed := b.TempDir()
		copyLedger(b, clean, crashed)
		for b.Loop() {
			b.StopTimer()
			fresh := b.TempDir()
			copyLedger(b, crashed, fresh)
			b.StartTimer()
			l, err := Open(b.Context(), fresh)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("counts", func(b *testing.B) {
		l := open(b, clean)
		for b.Loop() {
			if _, err := l.Counts(b.Context(), "work"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("held", func(b *testing.B) {
		l := open(b, clean)
		for b.Loop() {
			if _, err := l.List(b.Context(), Filter{States: []State{Held, Doubt, Refused, Deferred}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// copyLedger copies the files as a crash would leave them.
func copyLedger(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range []string{fileName, fileName + "-wal", reserveName} {
		octets, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), octets, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkBriefs50k(b *testing.B) {
	l := open(b, b.TempDir())
	fillLedger(b, l, 50_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept map[string][]Brief
	for b.Loop() {
		var err error
		if kept, err = l.Briefs(b.Context(), "work", "INBOX", 1); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(kept)), "kept-B/record")
	runtime.KeepAlive(kept)
}

func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 4, 16} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			l := open(b, b.TempDir())
			var n atomic.Int64
			b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
			if callers == 1 {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Put(b.Context(), record(strconv.FormatInt(n.Add(1), 10), Delivered)); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/float64(l.writer.commits), "puts/commit")
		})
	}
}

// BenchmarkMessage writes what a message costs that is taken at once, as a pass with so many sessions does: "sending" before its
// dot, and the verdict, for which no session waits. The MTA takes two milliseconds to get to the dot and two for its verdict, or
// none. cpu-µs is what the whole process uses for a message.
func BenchmarkMessage(b *testing.B) {
	for _, sessions := range []int{1, 4, 8} {
		for _, mta := range []time.Duration{0, 2 * time.Millisecond} {
			b.Run(fmt.Sprintf("%d/%v", sessions, mta), func(b *testing.B) { benchmarkMessage(b, sessions, mta) })
		}
	}
}

func benchmarkMessage(b *testing.B, sessions int, mta time.Duration) {
	l := open(b, b.TempDir())
	var n atomic.Int64
	var running, verdicts sync.WaitGroup
	before := cpuTime(b)
	b.ResetTimer()
	for range sessions {
		running.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				time.Sleep(mta)
				r := record(strconv.FormatInt(i, 10), Sending)
				r.Hash, r.Recipients = sha256.Sum256([]byte(r.UID)), "user@example.net"
				if err := l.Replace(b.Context(), r, nil); err != nil {
					b.Error(err)
				}
				time.Sleep(mta)
				r.State, r.Code, r.Reply, r.QueueID = Delivered, 250, "2.0.0 Ok: queued as 4XyZ1234567", "4XyZ1234567"
				pending := l.BeginJudged(b.Context(), r, nil, Judgement{Target: "mta", Client: "192.0.2." + strconv.FormatInt(i%250, 10), Taken: true})
				verdicts.Go(func() {
					if err := pending.Wait(); err != nil {
						b.Error(err)
					}
				})
			}
		})
	}
	running.Wait()
	verdicts.Wait()
	b.StopTimer()
	used := cpuTime(b) - before
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(l.writer.commits)/float64(b.N), "commits/op")
}

// cpuTime returns the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
