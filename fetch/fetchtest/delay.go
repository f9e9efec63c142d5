package fetchtest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Delay makes conn as slow to answer as a link with this round trip time: octets
// take half of it each way, at any throughput. Wrap one end only. Close delivers
// what was written before, and waits for the goroutines.
func Delay(conn net.Conn, rtt time.Duration) net.Conn {
	d := &delayed{
		Conn:   conn,
		half:   rtt / 2,
		out:    make(chan parcel, 8192),
		in:     make(chan parcel, 8192),
		closed: make(chan struct{}),
	}
	d.wg.Go(d.send)
	d.wg.Go(d.receive)
	return d
}

// parcel is octets on their way, or the error that ends them.
type parcel struct {
	due    time.Time
	octets []byte
	err    error
}

type delayed struct {
	net.Conn
	half     time.Duration
	out, in  chan parcel
	closed   chan struct{}
	close    sync.Once
	wg       sync.WaitGroup
	deadline atomic.Pointer[time.Time] // of Read
	rest     parcel                    // read in part; Read's only
}

func (d *delayed) send() {
	defer d.Conn.Close()
	for {
		select {
		case p := <-d.out:
			if !d.deliver(p) {
				return
			}
		case <-d.closed:
			for {
				select {
				case p := <-d.out:
					if !d.deliver(p) {
						return
					}
				default:
					return
				}
			}
		}
	}
}

func (d *delayed) deliver(p parcel) bool {
	time.Sleep(time.Until(p.due))
	_ = d.Conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := d.Conn.Write(p.octets)
	return err == nil
}

func (d *delayed) receive() {
	for {
		octets := make([]byte, 32<<10)
		n, err := d.Conn.Read(octets)
		select {
		case d.in <- parcel{time.Now().Add(d.half), octets[:n], err}:
		case <-d.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

func (d *delayed) Write(p []byte) (int, error) {
	select {
	case <-d.closed:
		return 0, net.ErrClosed
	default:
	}
	select {
	case d.out <- parcel{due: time.Now().Add(d.half), octets: append([]byte(nil), p...)}:
		return len(p), nil
	case <-d.closed:
		return 0, net.ErrClosed
	}
}

// Read may be called by one goroutine at a time.
func (d *delayed) Read(p []byte) (int, error) {
	if len(d.rest.octets) == 0 && d.rest.err == nil {
		if err := d.await(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.rest.octets)
	d.rest.octets = d.rest.octets[n:]
	if n == 0 {
		return 0, d.rest.err
	}
	return n, nil
}

// await takes the next parcel when it is due.
func (d *delayed) await() error {
	var expired <-chan time.Time
	if at := d.deadline.Load(); at != nil && !at.IsZero() {
		timer := time.NewTimer(time.Until(*at))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case d.rest = <-d.in:
	case <-d.closed:
		return net.ErrClosed
	case <-expired:
		return os.ErrDeadlineExceeded
	}
	wait := time.NewTimer(time.Until(d.rest.due))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-d.closed:
		return net.ErrClosed
	}
}

// SetReadDeadline holds for the reads that begin after it.
func (d *delayed) SetReadDeadline(t time.Time) error {
	d.deadline.Store(&t)
	return nil
}

// SetWriteDeadline does nothing: writes do not wait.
func (d *delayed) SetWriteDeadline(time.Time) error { return nil }

func (d *delayed) SetDeadline(t time.Time) error { return d.SetReadDeadline(t) }

func (d *delayed) Close() error {
	d.close.Do(func() {
		close(d.closed)
		_ = d.Conn.SetReadDeadline(time.Now())
	})
	d.wg.Wait()
	return nil
}

// Split makes reads return and writes send at most n octets at a time.
func Split(conn net.Conn, n int) net.Conn { return &split{conn, n} }

type split struct {
	net.Conn
	n int
}

func (s *split) Read(p []byte) (int, error) { return s.Conn.Read(p[:min(len(p), s.n)]) }

func (s *split) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n, err := s.Conn.Write(p[:min(len(p), s.n)])
		total += n
		if err != nil {
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

// Cutter is a connection that breaks after so many octets. Until [Cutter.Reads] or
// [Cutter.Writes] is called it is whole.
type Cutter struct {
	net.Conn
	reads, writes atomic.Int64 // left plus one, 0 for no bound
}

// ErrCut is what a Cutter's Write returns once it is cut.
var ErrCut = errors.New("fetchtest: connection cut")

// Cut wraps conn.
func Cut(conn net.Conn) *Cutter { return &Cutter{Conn: conn} }

// Reads lets n more octets in, then shows the end of the stream and closes.
func (c *Cutter) Reads(n int64) { c.reads.Store(n + 1) }

// Writes lets n more octets out and closes.
func (c *Cutter) Writes(n int64) { c.writes.Store(n + 1) }

func (c *Cutter) Read(p []byte) (int, error) {
	left := c.reads.Load()
	if left == 1 {
		_ = c.Close()
		return 0, io.EOF
	}
	if left > 1 {
		p = p[:min(int64(len(p)), left-1)]
	}
	n, err := c.Conn.Read(p)
	if left > 1 {
		c.reads.Add(int64(-n))
	}
	return n, err
}

func (c *Cutter) Write(p []byte) (int, error) {
	left := c.writes.Load()
	if left == 0 {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:min(int64(len(p)), left-1)])
	c.writes.Add(int64(-n))
	if n < len(p) && err == nil {
		_ = c.Close()
		err = ErrCut
	}
	return n, err
}
