// SPDX-License-Identifier: GPL-2.0

// Echo in Go. "echo -l NAME" sends everybody back what they say; "echo NAME" says its
// standard input there and prints what comes back.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"nym"
)

func serve(name string) error {
	listener, err := nym.Listen(name, 0666)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// One goroutine says, the other one listens.
func call(name string) error {
	conn, err := nym.Dial(name, time.Now().Add(10*time.Second))
	if err != nil {
		return err
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "-l":
		err = serve(os.Args[2])
	case len(os.Args) == 2:
		err = call(os.Args[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: echo [-l] NAME")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}
