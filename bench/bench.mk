# SPDX-License-Identifier: Apache-2.0
# Included by the top Makefile.

.PHONY: bench
bench: build ## what elsad costs, beside its peers, as a table; 6 minutes, as root
	test/setup.sh forkstat atop zstd
	$(GO) build -o $(BIN)/bench ./bench
	flock /tmp/elsa-acct.lock $(BIN)/bench -bin $(BIN) -markdown README.md -picture docs/img/growth.svg
