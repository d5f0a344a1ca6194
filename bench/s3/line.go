// A line of some length to a server on this machine: what is sent arrives half a round trip later, both
// ways, in order. Written in Go because it has to take little of the processor that is measured.
//
//	line PORT MILLISECONDS
//
// Prints the port that it listens on, and ends with its input.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const pieceBytes = 64 << 10

// So much of one connection is under way at most: 64 MiB.
const mostPieces = 1024

type piece struct {
	bytes []byte
	due   time.Time
}

var spare = sync.Pool{New: func() any { return make([]byte, pieceBytes) }}

func carry(from, to *net.TCPConn, late time.Duration) {
	under := make(chan piece, mostPieces)
	go func() {
		defer close(under)
		for {
			bytes := spare.Get().([]byte)
			count, err := from.Read(bytes)
			if count > 0 {
				under <- piece{bytes[:count], time.Now().Add(late)}
			}
			if err != nil {
				return
			}
		}
	}()
	for one := range under {
		time.Sleep(time.Until(one.due))
		if _, err := to.Write(one.bytes); err != nil {
			break
		}
		spare.Put(one.bytes[:pieceBytes])
	}
	time.Sleep(late)
	to.CloseWrite()
	from.CloseRead()
	for range under {
	}
}

func main() {
	// One core: on two its threads wake each other, which takes half as much again.
	runtime.GOMAXPROCS(1)
	var port, milliseconds int
	if len(os.Args) == 3 {
		fmt.Sscan(os.Args[1], &port)
		fmt.Sscan(os.Args[2], &milliseconds)
	}
	rtt := time.Duration(milliseconds) * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil || port == 0 {
		fmt.Fprintln(os.Stderr, "line PORT MILLISECONDS:", err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		near, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			// The handshake of TCP takes a round trip too.
			time.Sleep(rtt)
			far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				near.Close()
				return
			}
			go carry(near.(*net.TCPConn), far.(*net.TCPConn), rtt/2)
			carry(far.(*net.TCPConn), near.(*net.TCPConn), rtt/2)
		}()
	}
}
