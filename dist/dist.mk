# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: what is installed, and packages of it.

sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
datadir    ?= $(prefix)/share
libdir     ?= $(prefix)/lib
sysconfdir ?= /etc
docdir     ?= $(datadir)/doc/elsa
OUT        := dist/out
STAGE      := $(OUT)/stage

# A Debian and an RPM version must begin with a digit and have no hyphen.
PACKAGE_VERSION = $(shell echo '$(VERSION)' | \
	sed -E 's/^v//; /^[0-9]+\./!s/^/0~git./; s/-([0-9]+)-g/+\1.g/; s/-/~/g')
NFPM_VERSION = v2.45.2
NFPM         = $(OUT)/tools/nfpm

.PHONY: deb rpm package-test stage

install: build ## programs, units, man pages and examples, under DESTDIR and prefix
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(docdir) $(DESTDIR)$(sysconfdir)/default \
		$(DESTDIR)$(libdir)/systemd/system $(DESTDIR)$(libdir)/sysusers.d $(DESTDIR)$(libdir)/tmpfiles.d \
		$(DESTDIR)$(datadir)/elsa/prometheus $(DESTDIR)$(datadir)/elsa/grafana
	install -m 755 $(BIN)/elsad $(DESTDIR)$(sbindir)/
	install -m 755 $(BIN)/elsactl $(DESTDIR)$(bindir)/
	for unit in elsad elsad-guard; do \
		sed 's|/usr/sbin/|$(sbindir)/|' dist/systemd/$$unit.service > $(DESTDIR)$(libdir)/systemd/system/$$unit.service && \
		chmod 644 $(DESTDIR)$(libdir)/systemd/system/$$unit.service || exit 1; done
	install -m 644 dist/systemd/sysusers.conf $(DESTDIR)$(libdir)/sysusers.d/elsa.conf
	install -m 644 dist/systemd/tmpfiles.conf $(DESTDIR)$(libdir)/tmpfiles.d/elsa.conf
	test -e $(DESTDIR)$(sysconfdir)/default/elsad || install -m 644 dist/elsad.default $(DESTDIR)$(sysconfdir)/default/elsad
	install -m 644 dist/prometheus/*.yml $(DESTDIR)$(datadir)/elsa/prometheus/
	install -m 644 dist/grafana/*.json $(DESTDIR)$(datadir)/elsa/grafana/
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(docdir)/
	for page in $(wildcard dist/man/*.[158]); do \
		install -D -m 644 $$page $(DESTDIR)$(datadir)/man/man$${page##*.}/$${page##*/} || exit 1; done
	for file in $(wildcard dist/completions/*); do case $$file in \
		*.bash) to=bash-completion/completions/elsactl;; \
		*.fish) to=fish/vendor_completions.d/elsactl.fish;; \
		*.zsh|*/_elsactl) to=zsh/vendor-completions/_elsactl;; \
		*) continue;; esac; \
		install -D -m 644 $$file $(DESTDIR)$(datadir)/$$to || exit 1; done

# What goes into a package, in place. Configuration and the license texts are
# placed by nfpm.yaml, as each kind of package wants them.
stage:
	rm -rf $(STAGE)
	$(MAKE) install DESTDIR=$(STAGE) prefix=/usr sysconfdir=/etc VERSION='$(VERSION)'
	rm -r $(STAGE)/etc $(STAGE)/usr/share/doc/elsa/LICENSE
	if [ -d $(STAGE)/usr/share/man ]; then find $(STAGE)/usr/share/man -type f -exec gzip -9n {} +; fi
	mv $(STAGE)/usr/share/doc/elsa/CHANGELOG.md $(STAGE)/usr/share/doc/elsa/changelog && gzip -9n $(STAGE)/usr/share/doc/elsa/changelog

$(NFPM):
	GOFLAGS= GOBIN=$(CURDIR)/$(OUT)/tools $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)

deb rpm: stage $(NFPM) ## a package in dist/out
	rm -f $(OUT)/*.$@
	VERSION='$(PACKAGE_VERSION)' GOARCH=$$($(GO) env GOARCH) STAGE=$(STAGE) $(NFPM) package -f dist/nfpm.yaml -p $@ -t $(OUT)

package-test: deb rpm ## the packages installed, used and removed in a fresh Debian tree
	test/packages/packages.sh $(OUT)
