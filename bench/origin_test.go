package bench

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sondeprobe/sonde/bench/origin"
)

// The origin answers /TOKEN with 200, "Server: TOKEN" and page, and countPath with the number of
// connections that it has accepted so far.
var (
	page   = append(bytes.Repeat([]byte("All work and no play. "), 46), expect...)
	expect = []byte("the end of the page")
)

const countPath = "/connections"

// announcement is what the origin's process writes to its standard output once it listens.
type announcement struct {
	Plain, TLS []netip.AddrPort
	DNS        netip.AddrPort
	Root       []byte // DER
}

// loopbacks are the addresses that the origin listens on. A fresh connection for every check uses
// up the ports towards one address within seconds (the kernel keeps each for a minute): there are
// 16 times as many towards 16.
func loopbacks() []string {
	if runtime.GOOS != "linux" {
		return []string{"127.0.0.1"} // others have no more without being told
	}
	var all []string
	for i := 1; i <= 16; i++ {
		all = append(all, fmt.Sprintf("127.0.0.%d", i))
	}
	return all
}

// serveOrigin is the main of the origin's process. It ends when its standard input does, and so
// never outlives the process that started it.
func serveOrigin() {
	authority := origin.NewAuthority()
	secure := &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(loopbacks()...)},
		// A full handshake for every client, whatever it remembers.
		SessionTicketsDisabled: true,
	}
	a := announcement{Root: authority.DER()}
	server := &fasthttp.Server{Handler: answer, NoDefaultDate: true, ConnState: countConnections}
	for _, addr := range loopbacks() {
		plain, other := listenOn(addr), listenOn(addr)
		a.Plain = append(a.Plain, netip.MustParseAddrPort(plain.Addr().String()))
		a.TLS = append(a.TLS, netip.MustParseAddrPort(other.Addr().String()))
		go server.Serve(plain)
		go server.Serve(tls.NewListener(other, secure))
	}
	a.DNS = serveNames()
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
}

func listenOn(addr string) net.Listener {
	l, err := net.Listen("tcp4", addr+":0") // with the largest backlog that the system allows
	if err != nil {
		panic(err)
	}
	return l
}

var accepted atomic.Int64 // in the origin's process

func countConnections(_ net.Conn, state fasthttp.ConnState) {
	if state == fasthttp.StateNew {
		accepted.Add(1)
	}
}

func answer(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == countPath {
		fmt.Fprint(ctx, accepted.Load())
		return
	}
	ctx.Response.Header.SetServerBytes(ctx.Path()[1:])
	ctx.SetContentType("text/plain")
	ctx.SetBody(page)
}

// originProcess is the running origin, seen from here.
type originProcess struct {
	announcement
	roots *x509.CertPool
	stdin io.Closer

	counts int // calls of connections
	cmd    *exec.Cmd
}

var (
	originOnce sync.Once
	theOrigin  *originProcess
	originErr  error
)

// startOrigin starts the origin for the first benchmark that needs it.
func startOrigin(tb testing.TB) *originProcess {
	tb.Helper()
	originOnce.Do(func() { theOrigin, originErr = execOrigin() })
	if originErr != nil {
		tb.Fatal(originErr)
	}
	return theOrigin
}

func execOrigin() (*originProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), originVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o := &originProcess{stdin: stdin, cmd: cmd}
	if err := json.NewDecoder(stdout).Decode(&o.announcement); err != nil {
		stdin.Close()
		cmd.Wait()
		return nil, fmt.Errorf("the origin's process: %w", err)
	}
	root, err := x509.ParseCertificate(o.Root)
	if err != nil {
		return nil, err
	}
	o.roots = x509.NewCertPool()
	o.roots.AddCert(root)
	return o, nil
}

// connections returns how many connections the origin has accepted, but for those of connections
// itself.
func (o *originProcess) connections(tb testing.TB) int {
	tb.Helper()
	o.counts++
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI("http://" + o.Plain[0].String() + countPath)
	req.SetConnectionClose()
	if err := fasthttp.Do(req, resp); err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(string(resp.Body()))
	if err != nil {
		tb.Fatal(err)
	}
	return n - o.counts
}

func stopOrigin() {
	if theOrigin != nil {
		theOrigin.stdin.Close()
		theOrigin.cmd.Wait()
	}
}
