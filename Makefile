# Coracle's entry points. `make help` lists them.
#
# DESTDIR and PREFIX say where `make install` puts things; CARGO_TARGET_DIR where cargo builds; CORACLE_CACHE
# (/var/cache/coracle) where the Debian roots and images of tests, demo and bench are kept between runs.

PREFIX ?= /usr
TARGET := $(or $(CARGO_TARGET_DIR),target)
STAGE := $(TARGET)/stage
RELEASE := $(TARGET)/release

# The shim and the generator start once per container and per reload: without a dynamic linker and without relocations
# that is half a millisecond less.
STATIC := -C target-feature=+crt-static -C relocation-model=static

.DEFAULT_GOAL := build
.PHONY: help build install stage machines disks roots test lint demo bench machine clean

help: ## Print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## Build the programs, optimised (cargo build --release)
	cargo build --release --locked --bin coracle
	cargo rustc --release --locked --bin coracle-shim -- $(STATIC)
	cargo rustc --release --locked --bin coracle-generator -- $(STATIC)
	cargo rustc --release --locked --bin coracle-oci -- $(STATIC)

install: ## Install what `make build` has built (DESTDIR=, PREFIX=/usr)
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/bin' '$(RELEASE)/coracle'
	packaging/pages '$(RELEASE)/coracle' '$(DESTDIR)' '$(PREFIX)'
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/libexec/coracle' '$(RELEASE)/coracle-shim' '$(RELEASE)/coracle-oci'
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system-generators' '$(RELEASE)/coracle-generator'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/user-generators'
	ln -sf ../system-generators/coracle-generator '$(DESTDIR)$(PREFIX)/lib/systemd/user-generators/coracle-generator'
	set -e; for unit in $(wildcard units/*.*); do for scope in system user; do \
		install -D -m 644 -t "$(DESTDIR)$(PREFIX)/lib/systemd/$$scope" "$$unit"; done; done
	install -D -m 644 -t '$(DESTDIR)/etc/apparmor.d' packaging/apparmor/coracle-default
	if [ -z '$(DESTDIR)' ] && grep -qs Y /sys/module/apparmor/parameters/enabled; then \
		apparmor_parser --replace /etc/apparmor.d/coracle-default; fi
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/selinux/packages' packaging/selinux/coracle.cil
	if [ -z '$(DESTDIR)' ] && [ -e /sys/fs/selinux/enforce ]; then semodule -i packaging/selinux/coracle.cil; fi
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/system' units/system/*
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/lib/systemd/user' units/user/*
	install -d '$(DESTDIR)/etc/coracle'

stage: build
	rm -rf '$(STAGE)'
	$(MAKE) --no-print-directory install DESTDIR='$(STAGE)' PREFIX=/usr

roots: ## Make the Debian roots for tests and demo, where they are not cached yet
	tests/machine/root bookworm
	tests/machine/root trixie
	tests/machine/root sid
	tests/machine/root engines
	tests/machine/root servers
	tests/machine/root fleet
	tests/machine/root vm

$(TARGET)/tools/opt/test/client: tests/payload/client.c
	@mkdir -p '$(@D)'
	gcc -O2 -static -Wall -o '$@' '$<'

$(TARGET)/tools/opt/test/binds: tests/machine/binds.c
	@mkdir -p '$(@D)'
	gcc -O2 -static -pthread -Wall -o '$@' '$<'

$(TARGET)/tools/opt/test/payload: tests/payload/payload.c
	@mkdir -p '$(@D)'
	gcc -O2 -static -Wall -o '$@' '$<'

$(TARGET)/tools/opt/test/libsubid_test.so: tests/machine/subid.c
	@mkdir -p '$(@D)'
	gcc -O2 -shared -fPIC -Wall -o '$@' '$<'

machines: stage roots $(TARGET)/tools/opt/test/client $(TARGET)/tools/opt/test/binds $(TARGET)/tools/opt/test/payload $(TARGET)/tools/opt/test/libsubid_test.so ## Build and cache all that the machines of tests, demo and bench need
	tests/machine/images
	tests/machine/fleet/images

disks: machines
	tests/machine/disk root
	tests/machine/disk store

test: disks ## Run all tests; the system tests boot systemd 252 and 257, and a virtual machine
	CORACLE_PREPARED=1 cargo test --locked --no-fail-fast

lint: ## Check formatting, lints and documents
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet

demo: ## Show Coracle at work on a private Debian with a real systemd
	demo/run

bench: ## Measure Coracle beside the bare unit, systemd's sandbox, crun and Podman
	bench/run

machine: machines ## Run one system test, with a shell where it fails: make machine CASE=nginx DEBIAN=bookworm
	tests/machine/case 'tests/system/$(CASE)' '$(or $(DEBIAN),trixie)' --keep

clean: ## Remove what was built (the cache stays: rm -r /var/cache/coracle)
	cargo clean
