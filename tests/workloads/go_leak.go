// A Go program that leaks one handle from a function of its own: no C library, tiny stacks.
package main

import (
	"fmt"
	"os"
	"syscall"
)

//go:noinline
func leakFile() int {
	number, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0)
	if err != nil {
		os.Exit(97)
	}
	return number
}

func main() {
	number := leakFile()
	fmt.Printf("{\"truth\":\"open\",\"pid\":%d,\"open\":[{\"fd\":%d,\"function\":\"main.leakFile\",\"type\":\"device\"}]}\n",
		os.Getpid(), number)
}
