package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// request is a request that an HTTP worker sends repeatedly.
type request struct {
	method, path string
	host         string // "" stands for the address
	header       []string
	body         string
}

// raw returns the bytes of the request on the wire. They are written in the same way for every
// subject.
func (r request) raw(addr string) []byte {
	var b bytes.Buffer
	host := r.host
	if host == "" {
		host = addr
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: realmgate-bench\r\nAccept: application/json\r\n",
		r.method, r.path, host)
	for _, h := range r.header {
		b.WriteString(h + "\r\n")
	}
	if r.body != "" || r.method == "POST" || r.method == "PUT" || r.method == "PATCH" {
		b.WriteString("Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(r.body)) + "\r\n")
	}
	b.WriteString("\r\n" + r.body)
	return b.Bytes()
}

// bearer returns the header with an access token.
func bearer(token string) string { return "Authorization: Bearer " + token }

// exchangeTimeout limits a request with its answer.
const exchangeTimeout = 20 * time.Second

// conn is a kept-alive connection to a server.
type conn struct {
	addr   string
	nc     net.Conn
	read   *bufio.Reader
	answer fasthttp.Response
	until  time.Time // the deadline set on nc; moved rarely, because that costs a system call
}

func dial(addr string) (*conn, error) {
	c := &conn{addr: addr}
	return c, c.redial()
}

func (c *conn) redial() error {
	c.close()
	nc, err := net.DialTimeout("tcp", c.addr, exchangeTimeout)
	if err != nil {
		return err
	}
	c.nc, c.read, c.until = nc, bufio.NewReaderSize(nc, 16<<10), time.Time{}
	return nil
}

// exchange sends raw and reads the answer, which is valid until the next exchange. After an error
// the next exchange opens a new connection.
func (c *conn) exchange(raw []byte, noBody bool) (*fasthttp.Response, error) {
	if c.nc == nil {
		if err := c.redial(); err != nil {
			return nil, err
		}
	}
	if now := time.Now(); c.until.Sub(now) < exchangeTimeout/2 {
		c.until = now.Add(exchangeTimeout)
		if err := c.nc.SetDeadline(c.until); err != nil {
			return nil, err
		}
	}
	_, err := c.nc.Write(raw)
	if err == nil {
		c.answer.SkipBody = noBody
		err = c.answer.Read(c.read)
	}
	if err != nil || c.answer.ConnectionClose() {
		c.close()
	}
	return &c.answer, err
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close() // the connection is unusable anyway
		c.nc = nil
	}
}

// httpWorker sends its requests in turn.
type httpWorker struct {
	conn *conn
	raw  [][]byte
	next int
	want []int
}

// httpLoad drives addr over conns connections. requests returns the requests that connection i
// sends in turn. Answers with a status that is not in want count as failed.
func httpLoad(addr string, conns int, requests func(i int) []request, want ...int) load {
	return load{conns: conns, worker: func(i int) (worker, error) {
		c, err := dial(addr)
		if err != nil {
			return nil, err
		}
		w := &httpWorker{conn: c, want: want}
		for _, r := range requests(i) {
			w.raw = append(w.raw, r.raw(addr))
		}
		return w, nil
	}}
}

func (w *httpWorker) do() (bool, error) {
	raw := w.raw[w.next]
	w.next = (w.next + 1) % len(w.raw)
	answer, err := w.conn.exchange(raw, false)
	if err != nil {
		return false, err
	}
	return slices.Contains(w.want, answer.StatusCode()), nil
}

func (w *httpWorker) close() { w.conn.close() }
