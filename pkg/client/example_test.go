// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"elsa/pkg/client"
)

// The bill of a group, and what the service says to a request it refuses.
// Outside of this example the socket is [client.DefaultSocket].
func Example() {
	socket, stop := standIn()
	defer stop()

	ctx := context.Background()
	c := client.New(socket)
	defer c.Close()

	report, err := c.Usage(ctx, client.UsageQuery{Groups: []string{"ci"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, g := range report.Groups {
		fmt.Printf("%s: %d processes, %.2f s of CPU\n", g.Name, g.Usage.ProcessesStarted, g.Usage.CPUSeconds)
	}

	_, err = c.Usage(ctx, client.UsageQuery{Groups: []string{"cd"}})
	var refused *client.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused)
	}
	// Output:
	// ci: 3 processes, 1.25 s of CPU
	// 404 no group is named cd
}

// standIn answers as elsad would, with one group, at a socket of its own.
func standIn() (socket string, stop func()) {
	dir, err := os.MkdirTemp("", "elsa")
	if err != nil {
		log.Fatal(err)
	}
	socket = filepath.Join(dir, "elsad.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("group") == "ci" {
			fmt.Fprint(w, `{"groups": [{"name": "ci", "usage": {"processes_started": 3, "cpu_seconds": 1.25}}]}`)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"status": 404, "title": "Not Found", "detail": "no group is named cd"}`)
	}))
	return socket, func() {
		l.Close()
		os.RemoveAll(dir)
	}
}
