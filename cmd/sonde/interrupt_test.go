//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// process is sonde as a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *bufio.Reader
	stdout bytes.Buffer
	told   strings.Builder // what was read of stderr
}

func start(t *testing.T, stdin io.Reader, stdout io.Writer, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: &exec.Cmd{Path: exe, Args: append([]string{"sonde"}, args...), Stdin: stdin}}
	p.cmd.Stdout = &p.stdout
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewReader(pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop(); p.cmd.Process.Kill() })
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// signalUntilItEnds sends the signal again and again: the one that comes with the first counts as
// one with it.
func (p *process) signalUntilItEnds(s os.Signal) {
	ticker := time.NewTicker(50 * time.Millisecond)
	ended := make(chan struct{})
	p.t.Cleanup(func() { close(ended) })
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = p.cmd.Process.Signal(s) // it may have ended
			case <-ended:
				return
			}
		}
	}()
}

// waitFor reads standard error up to a line that holds text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	for {
		line, err := p.stderr.ReadString('\n')
		p.told.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			p.t.Fatalf("%q never came: %q", text, p.told.String())
		}
	}
}

// end waits for the process and wants its exit status.
func (p *process) end(status int) {
	p.t.Helper()
	rest, _ := io.ReadAll(p.stderr)
	p.told.Write(rest)
	err := p.cmd.Wait()
	got := 0
	if exitErr, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exitErr.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if got != status {
		p.t.Fatalf("exit status %d, want %d: %s", got, status, p.told.String())
	}
}

// gate is an origin that holds every answer back until it is opened.
type gate struct {
	*origin.Server
	begun chan struct{} // one value a request
	open  func()
}

func newGate(t *testing.T) *gate {
	opened := make(chan struct{})
	g := &gate{begun: make(chan struct{}, 10_000), open: sync.OnceFunc(func() { close(opened) })}
	g.Server = listen(t, origin.Config{Handler: func(c *origin.Conn, _ *origin.Request) {
		g.begun <- struct{}{}
		<-opened
		c.Write(origin.Response(200, "at last"))
	}})
	t.Cleanup(g.open) // before the server's Close, which waits for the handlers
	return g
}

func (g *gate) list(t *testing.T, lines int) string {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, bytes.Repeat([]byte("http://"+g.Addr().String()+"/\n"), lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// waitBegun waits for so many requests.
func (g *gate) waitBegun(t *testing.T, n int) {
	t.Helper()
	late := time.After(patience)
	for range n {
		select {
		case <-g.begun:
		case <-late:
			t.Fatal("the requests never came")
		}
	}
}

func TestFirstInterruptFinishesWhatIsInFlight(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skipf("not run: whoever started the tests ignores %v (nohup), and so does what they start", sig)
			}
			g := newGate(t)
			p := start(t, nil, nil, "scan", g.list(t, 5000), "-c", "4", "--host-concurrency", "0")
			g.waitBegun(t, 4)
			p.signal(sig)
			p.waitFor("sonde: draining 4 in flight; Ctrl-C again stops at once")
			g.open()
			p.end(exitInterrupted)
			all, err := parseRecords(p.stdout.Bytes())
			if err != nil || len(all) != 4 {
				t.Fatalf("%d records, %v; want the 4 that were in flight", len(all), err)
			}
			for _, r := range all {
				if r.Status != 200 {
					t.Errorf("n %d: status %d, %s", r.N, r.Status, r.Error)
				}
			}
			if told := p.told.String(); !strings.Contains(told, "4 inputs checked") ||
				strings.Contains(told, "broken off") ||
				!strings.Contains(told, " not begun (interrupted)\n") ||
				!strings.Contains(told, " left; the rest of the list was not read\n") {
				t.Errorf("the summary says %s", told)
			}
		})
	}
}

func TestSecondInterruptStopsAtOnce(t *testing.T) {
	g := newGate(t)
	p := start(t, nil, nil, "scan", g.list(t, 5000), "-c", "4", "--host-concurrency", "0", "--timeout", "1h", "--head-timeout", "1h")
	g.waitBegun(t, 4)
	p.signal(os.Interrupt)
	p.waitFor("draining")
	p.signalUntilItEnds(os.Interrupt)
	p.end(exitInterrupted)
	if p.stdout.Len() > 0 {
		t.Errorf("inputs that were not checked have records: %s", p.stdout.Bytes())
	}
	if told := p.told.String(); !strings.Contains(told, "0 inputs checked") || !strings.Contains(told, ", 4 broken off, ") {
		t.Errorf("the summary says %s", told)
	}
}

// timeout(1) sends its signal to the process, and at once to the group that the process is in.
func TestASignalThatComesTwiceAtOnceIsOneInterrupt(t *testing.T) {
	g := newGate(t)
	p := start(t, nil, nil, "scan", g.list(t, 5000), "-c", "4", "--host-concurrency", "0")
	g.waitBegun(t, 4)
	p.signal(os.Interrupt)
	p.signal(os.Interrupt)
	p.waitFor("draining 4 in flight")
	g.open()
	p.end(exitInterrupted)
	if all, err := parseRecords(p.stdout.Bytes()); err != nil || len(all) != 4 {
		t.Fatalf("%d records, %v; want the 4 that were in flight", len(all), err)
	}
}

// That is so too where nothing is in flight, and the run ends between the two.
func TestASignalThatComesTwiceAtOnceLeavesTheAccount(t *testing.T) {
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typed.Close()
	g := newGate(t)
	g.open()
	p := start(t, in, nil, "scan")
	io.WriteString(typed, "http://"+g.Addr().String()+"/\n")
	g.waitBegun(t, 1)
	p.signal(os.Interrupt)
	p.waitFor("draining")
	for range 100 {
		if p.cmd.Process.Signal(os.Interrupt) != nil {
			break // it has ended
		}
	}
	p.end(exitInterrupted)
	if told := p.told.String(); !strings.Contains(told, "1 line read = 1 written") {
		t.Errorf("the summary says %s", told)
	}
}

// A standard input that has nothing more to say for now does not keep the scan from ending.
func TestInterruptDoesNotWaitForInput(t *testing.T) {
	g := newGate(t)
	g.open()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typed.Close()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := start(t, in, out, "scan", "-q")
	out.Close()
	io.WriteString(typed, "http://"+g.Addr().String()+"/\nhttp://half-a-li")
	line, err := bufio.NewReader(r).ReadBytes('\n') // comes while the input is still open
	if err == nil {
		err = eachOnce(line, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	p.end(exitInterrupted)
}

// A list that gives nothing for now keeps neither an interrupt nor --max-time from ending the run,
// also where the output waits for the first input.
func TestAListWithoutAnInputYetCanBeLeft(t *testing.T) {
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typed.Close()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	p := start(t, in, nil, "scan", "-o", out, "--max-time", "100ms")
	p.end(exitRuntime)
	if told := p.told.String(); !strings.Contains(told, "stopped after 100ms (--max-time), before the first input came") {
		t.Errorf("told %s", told)
	}
	p = start(t, in, nil, "scan", "-o", out)
	p.signalUntilItEnds(os.Interrupt) // the first ones may come before anybody looks
	p.cmd.Wait()
	if _, err := os.Stat(out); err == nil {
		t.Error("the output was made")
	}
}

func TestInterruptEndsDryRun(t *testing.T) {
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typed.Close()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := start(t, in, out, "scan", "--dry-run", "-q")
	out.Close()
	io.WriteString(typed, "http://a.test/\n")
	if _, err := bufio.NewReader(r).ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	p.end(exitInterrupted)
}

// TestLabCommand scans the list that "sonde lab" prints, as its own first lines tell to.
func TestLabCommand(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := start(t, nil, out, "lab")
	out.Close()
	var list bytes.Buffer
	lines := bufio.NewReader(r)
	dns := ""
	for !strings.Contains(list.String(), "no-such-name") { // it is long; this much will do
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err, list.String())
		}
		if addr, ok := strings.CutPrefix(line, "# dns "); ok {
			dns = strings.TrimSpace(addr)
		}
		list.WriteString(line)
	}
	go io.Copy(io.Discard, lines)
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runHere(t, "scan", path, "-k", "--resolver", dns, "--match-code", "200")
	if status != 0 || !bytes.Contains(stdout, []byte("http://www.lab.test:")) {
		t.Errorf("status %d, %d bytes of records: %s", status, len(stdout), stderr)
	}
	p.signal(os.Interrupt)
	p.end(0)
}
