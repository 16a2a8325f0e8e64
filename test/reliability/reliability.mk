# SPDX-License-Identifier: Apache-2.0

.PHONY: crash-test soak

crash-test: ## kill elsad hundreds of times under load; prints kills, deaths, lost, doubled. KILLS=250
	ELSA_SOAK=1 ELSA_KILLS=$(or $(KILLS),250) $(GO) test -count=1 -timeout 60m -v -run 'TestKernelCrash$$' ./test/reliability

soak: ## every reliability test in its long form; writes the table of test/RELIABILITY.md; fuzzes for 40 minutes. FUZZ=10m
	test/reliability/table.sh soak
	GO=$(GO) test/reliability/fuzz.sh $(or $(FUZZ),10m)
