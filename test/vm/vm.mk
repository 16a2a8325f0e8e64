# SPDX-License-Identifier: Apache-2.0
# Included by the top Makefile. Kernel tests in a virtual machine; see
# patches/README.md.

# What each boot is for is in test/vm/kernel.sh.
VM_VARIANTS ?= stock slice patched debug

.PHONY: vm-test vm-test-all
vm-test:
	test/vm/run.sh 6.1 $(VM_VARIANTS)

vm-test-all: vm-test
	test/vm/run.sh 6.12 $(VM_VARIANTS)
