// SPDX-License-Identifier: Apache-2.0

// Command elsad keeps the bill of groups of processes: it follows every fork,
// reads the kernel's account of every death, and adds both up per group.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"elsa/internal/build"
	"elsa/internal/config"
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status: 0 done, 1 failed,
// 2 wrong usage.
func execute(args []string) int {
	cfg := &config.Config{}
	status := 2
	cmd := &cobra.Command{
		Use:   "elsad [flags]",
		Short: "per-group process accounting service",
		Long: `elsad follows every fork, so that each process belongs to the groups of its
parent from the moment it is made, and joins the kernel's accounting record of
every death to them. elsactl(1) makes groups and shows their bills.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q is too much: elsad takes flags only, see --help", args[0])
			}
			return nil
		},
		Version:       build.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := configured(cfg.File, cmd.Flags())
			if err != nil {
				return err
			}
			if err := cfg.Check(); err != nil {
				return err
			}
			status = 1
			log := cfg.Logger(os.Stderr)
			slog.SetDefault(log)
			switch {
			case cfg.CheckStore:
				return checkStore(cfg, os.Stdout)
			case cfg.StopAccounting:
				return stopAccounting(cfg)
			}
			stopProfile, err := startProfile(cfg.Profile)
			if err != nil {
				return err
			}
			defer stopProfile()
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT)
			defer stop()
			return serve(ctx, cfg, set, log)
		},
	}
	cfg.Flags(cmd.Flags())
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "elsad: %v\n", err)
		return status
	}
	return 0
}
