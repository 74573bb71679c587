// The contender in Go: `connect_go WAY COUNT PORT HOST...`, as `connect.c` has it: one address after the other until one
// accepts, or "at-once" and "pending" with a goroutine each.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e3
}

func resident() float64 {
	var all, pages int
	text, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(text), &all, &pages)
	return float64(pages * os.Getpagesize())
}

func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func inTurn(count int, port string, hosts []string) {
	for i := 0; i < count; i++ {
		for _, host := range hosts {
			if connection, err := net.Dial("tcp", net.JoinHostPort(host, port)); err == nil {
				connection.Close()
				break
			}
		}
	}
}

// At once, a goroutine each; when they have begun, `begun` is called.
func atOnce(ctx context.Context, count int, port string, hosts []string, begun func()) {
	var dialer net.Dialer
	var group sync.WaitGroup
	for i := 0; i < count; i++ {
		group.Add(1)
		go func(host string) {
			defer group.Done()
			if connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port)); err == nil {
				connection.Close()
			}
		}(hosts[i%len(hosts)])
	}
	begun()
	group.Wait()
}

func pending(count int, port string, hosts []string) {
	ctx, cancel := context.WithCancel(context.Background())
	before, open := resident(), descriptors()
	var memory, began float64
	atOnce(ctx, count, port, hosts, func() {
		for descriptors()-open < count {
			time.Sleep(10 * time.Millisecond)
		}
		memory, began = (resident()-before)/float64(count), cpu()
		cancel()
	})
	fmt.Printf("{\"memory\": %f, \"cancel\": %f}\n", memory, (cpu()-began)/1e3)
}

func sample(way string, count int, port string, hosts []string) {
	began, used := time.Now(), cpu()
	switch way {
	case "pending":
		pending(count, port, hosts)
		return
	case "at-once":
		atOnce(context.Background(), count, port, hosts, func() {})
	default:
		inTurn(count, port, hosts)
	}
	each := float64(count)
	wall := float64(time.Since(began).Nanoseconds()) / 1e3
	fmt.Printf("{\"cpu\": %f, \"wall\": %f}\n", (cpu()-used)/each, wall/each)
}

func main() {
	way, port, hosts := os.Args[1], os.Args[3], os.Args[4:]
	if count, err := strconv.Atoi(os.Args[2]); err == nil {
		sample(way, count, port, hosts)
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		count, _ := strconv.Atoi(lines.Text())
		sample(way, count, port, hosts)
	}
}
