# SPDX-License-Identifier: Apache-2.0
# Included by the top Makefile. Kernel tests in a virtual machine; see
# patches/README.md.

# What each boot is for is in test/vm/kernel.sh.
VM_VARIANTS ?= stock slice patched debug

.PHONY: vm-test vm-test-all
vm-test: ## kernel patches for linux 6.1, built and booted
	test/vm/run.sh 6.1 $(VM_VARIANTS)

vm-test-all: vm-test ## the same for linux 6.1 and 6.12
	test/vm/run.sh 6.12 $(VM_VARIANTS)
