# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: what is installed, and packages of it.

sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
datadir    ?= $(prefix)/share
libdir     ?= $(prefix)/lib
sysconfdir ?= /etc
docdir     ?= $(datadir)/doc/elsa
zshdir     ?= $(datadir)/zsh/site-functions
OUT        := dist/out

# A Debian and an RPM version must begin with a digit and have no hyphen.
PACKAGE_VERSION = $(shell echo '$(VERSION)' | \
	sed -E 's/^v//; /^[0-9]+\./!s/^/0~git./; s/-([0-9]+)-g/+\1.g/; s/-/~/g')
# Whoever publishes packages puts an address here.
MAINTAINER  ?= ELSA developers <elsa@localhost>
PACKAGE_DATE = $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
NFPM_VERSION = v2.45.2
NFPM         = $(OUT)/tools/nfpm

.PHONY: uninstall deb rpm package-check package-test

install: build ## programs, units, man pages and examples, under DESTDIR and prefix
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(docdir) $(DESTDIR)$(sysconfdir)/default \
		$(DESTDIR)$(libdir)/systemd/system $(DESTDIR)$(libdir)/sysusers.d $(DESTDIR)$(libdir)/tmpfiles.d \
		$(DESTDIR)$(datadir)/elsa/prometheus $(DESTDIR)$(datadir)/elsa/grafana
	install -m 755 $(BIN)/elsad $(DESTDIR)$(sbindir)/
	install -m 755 $(BIN)/elsa-archive $(DESTDIR)$(sbindir)/
	install -m 755 $(BIN)/elsactl $(DESTDIR)$(bindir)/
	for unit in elsad elsad-guard elsa-archive elsa-ship; do \
		sed 's|/usr/sbin/|$(sbindir)/|; s|/etc/elsa/|$(sysconfdir)/elsa/|' dist/systemd/$$unit.service > $(DESTDIR)$(libdir)/systemd/system/$$unit.service && \
		chmod 644 $(DESTDIR)$(libdir)/systemd/system/$$unit.service || exit 1; done
	install -m 644 dist/systemd/sysusers.conf $(DESTDIR)$(libdir)/sysusers.d/elsa.conf
	install -m 644 dist/systemd/tmpfiles.conf $(DESTDIR)$(libdir)/tmpfiles.d/elsa.conf
	test -e $(DESTDIR)$(sysconfdir)/default/elsad || install -m 644 dist/elsad.default $(DESTDIR)$(sysconfdir)/default/elsad
	test -e $(DESTDIR)$(sysconfdir)/elsa/elsa.yaml || install -D -m 644 internal/ruleset/elsa.yaml $(DESTDIR)$(sysconfdir)/elsa/elsa.yaml
	install -m 644 dist/prometheus/*.yml $(DESTDIR)$(datadir)/elsa/prometheus/
	install -m 644 dist/grafana/*.json $(DESTDIR)$(datadir)/elsa/grafana/
	install -m 644 $(wildcard README.md) CHANGELOG.md LICENSE DESIGN.md UPGRADING.md $(DESTDIR)$(docdir)/
	install -d $(DESTDIR)$(docdir)/docs/img $(DESTDIR)$(docdir)/test
	install -m 644 docs/*.md $(DESTDIR)$(docdir)/docs/
	install -m 644 docs/img/* $(DESTDIR)$(docdir)/docs/img/
	install -m 644 test/RELIABILITY.md $(DESTDIR)$(docdir)/test/
	install -D -m 755 dist/pam/pam-session $(DESTDIR)$(datadir)/elsa/pam-session
	install -D -m 644 pkg/api/openapi.yaml $(DESTDIR)$(datadir)/elsa/openapi.yaml
	for page in $(wildcard dist/man/*.[158]); do \
		install -D -m 644 $$page $(DESTDIR)$(datadir)/man/man$${page##*.}/$${page##*/} || exit 1; done
	install -D -m 644 dist/completions/elsactl.bash $(DESTDIR)$(datadir)/bash-completion/completions/elsactl
	install -D -m 644 dist/completions/elsactl.fish $(DESTDIR)$(datadir)/fish/vendor_completions.d/elsactl.fish
	install -D -m 644 dist/completions/_elsactl $(DESTDIR)$(zshdir)/_elsactl

# Of make install, at the same DESTDIR and prefix. Configuration and bills stay.
uninstall: ## remove what make install has installed, but configuration and bills
	rm -f $(addprefix $(DESTDIR),$(sbindir)/elsad $(sbindir)/elsa-archive $(bindir)/elsactl \
		$(foreach unit,elsad elsad-guard elsa-archive elsa-ship,$(libdir)/systemd/system/$(unit).service) \
		$(libdir)/sysusers.d/elsa.conf $(libdir)/tmpfiles.d/elsa.conf \
		$(foreach page,$(notdir $(wildcard dist/man/*.[158])),$(datadir)/man/man$(subst .,,$(suffix $(page)))/$(page)) \
		$(datadir)/bash-completion/completions/elsactl $(datadir)/fish/vendor_completions.d/elsactl.fish $(zshdir)/_elsactl)
	rm -rf $(DESTDIR)$(datadir)/elsa $(DESTDIR)$(docdir)

$(NFPM):
	GOFLAGS= GOBIN=$(CURDIR)/$(OUT)/tools $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)

deb: $(NFPM) ## a Debian package in dist/out
	$(call package,$@,/usr/share/zsh/vendor-completions)

rpm: $(NFPM) ## an RPM package in dist/out
	$(call package,$@,/usr/share/zsh/site-functions)

# package lays out all files but configuration and license, which nfpm.yaml
# places as each kind of package wants them, and packs them up.
define package
	rm -rf $(OUT)/$1 $(OUT)/*.$1
	$(MAKE) install DESTDIR=$(OUT)/$1 prefix=/usr sysconfdir=/etc zshdir=$2 VERSION='$(VERSION)'
	rm -r $(OUT)/$1/etc $(OUT)/$1/usr/share/doc/elsa/LICENSE
	find $(OUT)/$1/usr/share/man -type f -exec gzip -9n {} +
	printf 'elsa (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' '$(PACKAGE_VERSION)' \
		'$(MAINTAINER)' "$$(date -u -R -d @$(PACKAGE_DATE))" | gzip -9n > $(OUT)/changelog.gz
	find $(OUT)/$1 -exec touch -h -d @$(PACKAGE_DATE) {} +
	VERSION='$(PACKAGE_VERSION)' MAINTAINER='$(MAINTAINER)' SOURCE_DATE_EPOCH=$(PACKAGE_DATE) STAGE=$(OUT)/$1 \
		GOARCH=$$($(GO) env GOARCH) $(NFPM) package -f dist/nfpm.yaml -p $1 -t $(OUT)
endef

# What decides whether the packages are right, but for the programs in them.
PACKAGE_PARTS = $(shell git ls-files dist/deb dist/rpm dist/systemd dist/nfpm.yaml dist/dist.mk dist/elsad.default test/packages \
	internal/config internal/ruleset Makefile LICENSE)
PACKAGE_STAMP = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/elsa/package-test-$(shell cat $(PACKAGE_PARTS) | sha256sum | cut -c1-16)

package-check: ## package-test, unless it has passed for these very parts
	@if [ -e $(PACKAGE_STAMP) ]; then echo "packages: passed before ($(PACKAGE_STAMP))"; else \
		$(MAKE) package-test && mkdir -p $(dir $(PACKAGE_STAMP)) && touch $(PACKAGE_STAMP); fi

package-test: deb rpm ## the packages installed, used and removed in a fresh Debian tree
	test/packages/packages.sh $(OUT)
