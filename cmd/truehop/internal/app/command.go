package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/truehop/truehop/fetch"
)

const (
	// commandEnd is how long a connect_command may take to end once its input is closed, before it is killed.
	commandEnd = 2 * time.Second
	// maxComplaint and maxComplaints bound what is logged of its standard error: octets of a line, and lines.
	maxComplaint  = 400
	maxComplaints = 20
)

// commandConn is a connection that is a program's input and output.
type commandConn struct {
	in, out *os.File
	cmd     *exec.Cmd
	said    *complaints
	end     context.CancelFunc
	reap    sync.Once
	ended   error // how it ended, once it was reaped
}

// startCommand starts a program, with no other environment than env.
func startCommand(argv, env []string, log *slog.Logger) (*commandConn, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, end := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	said := &complaints{log: log}
	cmd.Stderr = said
	// Its children hold the connection open as well: the whole group goes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandEnd
	theirIn, in, err := os.Pipe()
	if err != nil {
		end()
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_, _ = in.Close(), theirIn.Close()
		end()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	err = cmd.Start()
	_, _ = theirIn.Close(), theirOut.Close() // the program has its own
	if err != nil {
		_, _ = in.Close(), out.Close()
		end()
		return nil, err
	}
	return &commandConn{in: in, out: out, cmd: cmd, said: said, end: end}, nil
}

// Read reads what the program writes. Where it has ended, the error says how.
func (c *commandConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if errors.Is(err, io.EOF) {
		if why := c.wait(); why != nil {
			err = why
		}
	}
	return n, err
}

func (c *commandConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// Close closes the program's input, upon which it should end, and waits until it has, or was killed.
func (c *commandConn) Close() error {
	err := errors.Join(c.in.Close(), c.out.Close())
	_ = c.wait() // why it ended says nothing once nobody reads
	return err
}

// wait ends and reaps the program and says how it ended, nil for exit code 0.
func (c *commandConn) wait() error {
	c.reap.Do(func() {
		_ = c.in.Close()
		defer time.AfterFunc(commandEnd, c.end).Stop()
		defer c.end()
		if err := c.cmd.Wait(); err != nil {
			c.ended = fmt.Errorf("connect_command ended: %w%s", err, c.said.last())
		}
	})
	return c.ended
}

func (c *commandConn) LocalAddr() net.Addr  { return commandAddr(c.cmd.Path) }
func (c *commandConn) RemoteAddr() net.Addr { return commandAddr(c.cmd.Path) }

func (c *commandConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *commandConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *commandConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

// commandAddr is the path of a program, in the place of an address.
type commandAddr string

func (commandAddr) Network() string  { return "command" }
func (a commandAddr) String() string { return string(a) }

// complaints logs what a program writes to its standard error, by lines, and remembers the last one.
type complaints struct {
	log *slog.Logger

	mu    sync.Mutex
	line  []byte
	lines int
	final string
}

// Write implements [io.Writer] for package exec.
func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		c.line = append(c.line, line[:min(len(line), maxComplaint-len(c.line))]...)
		if whole {
			c.finish()
		}
		rest = after
	}
	return len(p), nil
}

// finish logs the line that is complete.
func (c *complaints) finish() {
	text := fetch.Sanitize(string(bytes.TrimRight(c.line, "\r")))
	c.line = c.line[:0]
	if text == "" {
		return
	}
	c.final = text
	if c.lines++; c.lines <= maxComplaints {
		c.log.Info("connect_command says", "text", text)
	}
}

// last returns the last line in the form that an error continues with, "" where there was none.
func (c *complaints) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) > 0 {
		c.finish()
	}
	if c.final == "" {
		return ""
	}
	return ": " + c.final
}
