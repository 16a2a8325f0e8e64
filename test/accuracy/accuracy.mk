# SPDX-License-Identifier: Apache-2.0

.PHONY: accuracy
accuracy: build ## bills compared with the kernel's own count, and with other tools; ACCURACY='-runs 3' for more
	$(GO) run ./test/accuracy -bin $(BIN) $(ACCURACY)
