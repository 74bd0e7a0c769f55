# Two commands do everything: `make run` and `make test`.
# Every step that installs something is in this file; it says what it is about to install, asks
# where there is a terminal to ask on, and is skipped when the thing is there already.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.ONESHELL:
.NOTPARALLEL:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Under this name `make -n` prints a recipe that calls make again, rather than running all of it.
SELF := $(MAKE)

# ---- What may be set from outside -----------------------------------------------------------

# More words for `roomd run`, as in: make run ARGS='--config my.toml'
ARGS ?=
# Anything here means "yes" to every question: make run YES=1
YES ?=
# More words for the comparison, as in: make bench BENCH='--rounds 1 --seconds 1'
BENCH ?=
# The same for the measure of delays: make bench-delay DELAY='--count 5 --minutes 0'
DELAY ?=
# And for that of speech: make bench-quality QUALITY='--count 1'
QUALITY ?=
# Where `make install` puts the program and its unit; DESTDIR is for building packages.
DESTDIR ?=
PREFIX ?= /usr
# What cargo builds into; tests and install steps find the program there.
CARGO_TARGET_DIR ?= $(CURDIR)/target
# The program that `make install-files` installs.
BINARY ?= $(CARGO_TARGET_DIR)/release/roomd
# Where the tests find the clip that `make clip` makes.
ROOMD_CLIP ?= $(CARGO_TARGET_DIR)/clip
export CARGO_TARGET_DIR ROOMD_CLIP YES

# ---- Debian packages, each with its reason --------------------------------------------------
# The names are those of Debian 12 and of Debian 13.

# To build roomd.
PACKAGES_BUILD += gcc                             # links, and compiles the assembly of ring
PACKAGES_BUILD += libc6-dev                       # what gcc links against
PACKAGES_BUILD += pkgconf                         # how the build finds GStreamer
PACKAGES_BUILD += libgstreamer1.0-dev             # gstreamer
PACKAGES_BUILD += libgstreamer-plugins-base1.0-dev # gstreamer-app, -video and -sdp
PACKAGES_BUILD += libgstreamer-plugins-bad1.0-dev # gstreamer-webrtc
PACKAGES_BUILD += ca-certificates                 # cargo fetches crates over TLS

# To run it. They are the packages that a roomd.deb will depend on.
PACKAGES_RUN += gstreamer1.0-plugins-base         # converters, mixers, opus
PACKAGES_RUN += gstreamer1.0-plugins-good         # v4l2, vp8, rtp, compositing helpers
PACKAGES_RUN += gstreamer1.0-plugins-bad          # webrtcbin, dtls, srtp, openh264, the parsers
PACKAGES_RUN += gstreamer1.0-plugins-ugly         # x264, the software H.264 encoder
PACKAGES_RUN += gstreamer1.0-libav                # the software H.264 decoder
PACKAGES_RUN += gstreamer1.0-nice                 # ICE, without which webrtcbin does not start
PACKAGES_RUN += gstreamer1.0-alsa                 # microphones and speakers
PACKAGES_RUN += gstreamer1.0-x                    # a window as a screen; text on pictures (pango)
PACKAGES_RUN += fonts-noto-core                   # the letters of that text, of most scripts
PACKAGES_RUN += fonts-dejavu-core                 # what stands in for them
PACKAGES_RUN += ca-certificates                   # to trust a signalling server elsewhere

# To test it.
PACKAGES_TEST += chromium                         # members of the end-to-end tests
PACKAGES_TEST += firefox-esr                      # likewise
PACKAGES_TEST += libnss3-tools                    # puts the device's authority into a browser's store
PACKAGES_TEST += coturn                           # the TURN server of the relay tests
PACKAGES_TEST += iproute2                         # network namespaces
PACKAGES_TEST += iptables                         # the NATs between those namespaces
PACKAGES_TEST += espeak-ng                        # speaks what the test clip says
PACKAGES_TEST += gstreamer1.0-tools               # writes the test clip
PACKAGES_TEST += systemd                          # systemd-analyze checks the unit
PACKAGES_TEST += pulseaudio                       # a sound card where there is none
PACKAGES_TEST += pulseaudio-utils                 # plays on it and records what is played
PACKAGES_TEST += libasound2-plugins               # and makes it one of ALSA's
PACKAGES_TEST += xvfb                             # a screen where there is none
PACKAGES_TEST += tesseract-ocr                    # reads a shared screen off the wall
PACKAGES_TEST += tesseract-ocr-eng                # the language of that
PACKAGES_TEST += weston                           # the same with Wayland

# Node runs the page's tests; any that is new enough will do, wherever it came from.
NODE_MAJOR := 18
PACKAGES_NODE := nodejs npm

# Rust from Debian's security archive, which Firefox and Chromium are built with: new enough for
# roomd on Debian 12 and 13, whose own rustc (1.63 and 1.85) is not. It conflicts with the packages
# cargo, rustc and rustup, so it is installed only where no cargo is new enough.
PACKAGES_RUST := cargo-web rustc-web
RUST_MINOR := $(shell sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)

# For `make bare` only.
PACKAGES_BARE := mmdebstrap util-linux

# For `make bench-quality` only.
PACKAGES_QUALITY += python3-venv                  # where PESQ is installed
PACKAGES_QUALITY += python3-dev                   # what it is compiled against

# For `make kiosk` only.
PACKAGES_KIOSK += qemu-system-x86                 # a machine with a screen, made of software
PACKAGES_KIOSK += mmdebstrap                      # the Debian that runs on it
PACKAGES_KIOSK += e2fsprogs                       # its disk
# What of roomd's own it gets: no H.264, which nobody asks for there, and nobody to be trusted.
KIOSK_RUN := $(filter-out gstreamer1.0-libav gstreamer1.0-plugins-ugly fonts-dejavu-core ca-certificates,$(PACKAGES_RUN))

CARGO_DENY := 0.20.2
# The code of ITU-T P.862, wrapped for Python.
PESQ := 0.0.4

# ---- Shell functions that the recipes begin with ----------------------------------------------

define prelude
say() { printf '%s\n' "$$*"; }
die() { printf '%s\n' "make: $$*" >&2; exit 1; }
as_root() {
	if [ "$$(id -u)" = 0 ]; then "$$@"
	elif command -v sudo >/dev/null; then sudo "$$@"
	else die "this needs root and there is no sudo; as root, run: $$*"
	fi
}
# Asks only a person: CI has no terminal, and YES=1 has answered already.
person() { [ -t 0 ] && [ -t 1 ] && [ -z "$${CI:-}" ] && [ -z "$$YES" ]; }
agreed() {
	person || return 0
	printf '%s [Y/n] ' "$$1"
	read -r answer || answer=n
	case $$answer in '' | [Yy]*) return 0 ;; *) return 1 ;; esac
}
has_package() {
	dpkg-query -W -f '$${db:Status-Status}\n' "$$1" 2>/dev/null | grep -qx installed
}
# missing PACKAGE...: those of them that are not installed.
missing() {
	command -v dpkg-query >/dev/null || return 0
	for package; do has_package "$$package" || printf ' %s' "$$package"; done
}
# consent REASON THING...: one question for all that the steps of a command are going to install.
consent() {
	if person && [ -n "$$2" ]; then
		say "==> $$1 is going to install:"
		say "   $$2"
		agreed 'Go on?' || die "nothing was installed"
	fi
	YES=1
}
# apt REASON PACKAGE...: installs what is missing of the packages, and removes none for it.
keep=--no-remove
apt() {
	reason=$$1
	shift
	if ! command -v dpkg-query >/dev/null; then
		say "==> This is not Debian. $$reason needs what these Debian packages hold: $$*"
		return 0
	fi
	missing=$$(missing "$$@")
	[ -n "$$missing" ] || return 0
	say "==> $$reason needs these Debian packages, which will be installed:"
	say "   $$missing"
	[ "$$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		die "there is no sudo here; as root, run: apt-get update && apt-get install$$missing"
	agreed 'Install them?' || die "nothing was installed"
	set -- env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -q
	as_root "$$@" update </dev/null || say "==> apt-get update had trouble; trying with the lists that are here"
	as_root "$$@" install -y --no-install-recommends $$keep $$missing </dev/null ||
		die "apt-get could not install:$$missing"
}
new_enough() {
	"$$1" --version 2>/dev/null | awk -v want=$(RUST_MINOR) '
		$$1 == "cargo" { split($$2, v, "."); found = v[1] > 1 || v[2] >= want }
		END { exit !found }'
}
# Puts the first cargo that is new enough at the front of PATH, together with its rustc; what
# `cargo install` left behind goes to the end.
find_rust() {
	for cargo in "$$(command -v cargo || :)" "$${HOME:-/root}/.cargo/bin/cargo" /usr/bin/cargo; do
		if [ -x "$$cargo" ] && new_enough "$$cargo"; then
			PATH=$$(dirname "$$cargo"):$$PATH:$${HOME:-/root}/.cargo/bin
			export PATH
			return 0
		fi
	done
	return 1
}
use_rust() { find_rust || die "no cargo of 1.$(RUST_MINOR) or newer; 'make deps-rust' installs one"; }
has_node() {
	command -v npm >/dev/null && node --version 2>/dev/null |
		awk -v want=$(NODE_MAJOR) '{ sub(/^v/, ""); exit !(int($$0) >= want) }'
}
# What `consent` names of these three.
wanted_rust() { find_rust || printf ' %s' $(PACKAGES_RUST); }
wanted_node() { has_node || missing $(PACKAGES_NODE); }
wanted_deny() { ! find_rust || cargo deny --version >/dev/null 2>&1 || printf ' cargo-deny (built here)'; }
endef

# ---- Run ----------------------------------------------------------------------------------------

.PHONY: help
help: ## says this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## installs what is missing, builds, starts, and prints where to join
	@$(prelude)
	consent "make run" "$$(wanted_rust; missing $(PACKAGES_BUILD) $(PACKAGES_RUN))"
	$(SELF) YES=$$YES deps-build deps-run
	use_rust
	say "==> Building roomd; the first time takes some minutes."
	cargo build --release --locked
	say "==> Starting roomd; Ctrl-C ends it."
	export MALLOC_ARENA_MAX=1
	exec "$$CARGO_TARGET_DIR/release/roomd" run --pipelines pipelines $(ARGS)

.PHONY: build
build: deps-build ## the release build alone
	@$(prelude)
	use_rust
	cargo build --release --locked

# ---- Test ---------------------------------------------------------------------------------------

# In the order of their price. The default features come after the pure half, because both write
# target/debug/roomd, and the browsers want the one with media.
TEST_STEPS := format lint docs deny pure media page browser
LOGS := $(CARGO_TARGET_DIR)/test-log

.PHONY: test
test: ## everything that CI checks, in the same way
	@$(prelude)
	consent "make test" "$$(wanted_rust; wanted_node; wanted_deny
		missing $(PACKAGES_BUILD) $(PACKAGES_RUN) $(PACKAGES_TEST))"
	$(SELF) YES=$$YES deps-build deps-run deps-test
	rm -rf '$(LOGS)'
	mkdir -p '$(LOGS)'
	begun=$$(date +%s)
	for step in $(TEST_STEPS); do
		say "==> $$step"
		start=$$(date +%s)
		{ $(SELF) test-$$step && : >'$(LOGS)'/$$step.ok; } 2>&1 | tee '$(LOGS)'/$$step.txt
		took=$$(($$(date +%s) - start))
		if [ ! -e '$(LOGS)'/$$step.ok ]; then
			say "==> FAILED: $$step, after $$took s. Again, alone: make test-$$step"
			exit 1
		fi
		say "==> $$step passed in $$took s"
	done
	say "==> make test: every step passed, in $$(($$(date +%s) - begun)) s ($(TEST_STEPS))"
	cat '$(LOGS)'/*.txt | awk '
		/^test result: / { passed += $$4; failed += $$6; skipped += $$8 }
		/^ *Summary \[.* tests? run: / {
			for (i = 2; i <= NF; i++) {
				if ($$i ~ /^passed/) passed += $$(i - 1)
				if ($$i ~ /^(failed|timed)/) failed += $$(i - 1)
				if ($$i ~ /^skipped/) skipped += $$(i - 1)
			}
		}
		/^(#|ℹ) pass [0-9]+$$/ { passed += $$3 }
		/^(#|ℹ) fail [0-9]+$$/ { failed += $$3 }
		/^(#|ℹ) (skipped|todo) [0-9]+$$/ { skipped += $$3 }
		END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit !passed }'

.PHONY: check
check: deps-build test-format test-lint test-pure ## the quick half: format, lints, and what decides

.PHONY: test-format
test-format:
	@$(prelude)
	use_rust
	if cargo fmt --version >/dev/null 2>&1; then
		cargo fmt --check
		cargo fmt --check --manifest-path benches/compare/Cargo.toml
	elif [ -n "$${CI:-}" ]; then die "this Rust has no rustfmt"
	else say "This Rust has no rustfmt (Debian: rustfmt-web): the format is not checked."
	fi

# Debian's rustc-web comes without clippy; CI has it.
.PHONY: test-lint
test-lint:
	@$(prelude)
	use_rust
	if cargo clippy --version >/dev/null 2>&1; then
		cargo clippy --locked --all-targets -- -D warnings
		cargo clippy --locked --all-targets --no-default-features -- -D warnings
		# The comparison, but for gst-plugin-webrtc: so much of it that it cannot fall behind roomd.
		cargo clippy --locked --manifest-path benches/compare/Cargo.toml --all-targets --no-default-features -- -D warnings
	elif [ -n "$${CI:-}" ]; then die "this Rust has no clippy"
	else say "This Rust has no clippy (rustup's has): lints are not checked."
	fi

# For those who work on roomd, so private items are documented too.
.PHONY: test-docs
test-docs:
	@$(prelude)
	use_rust
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --locked --no-deps --document-private-items

# The advisories come from a database on the network; where it cannot be had, that is said and
# nothing fails: whether somebody published an advisory today is no property of this tree.
.PHONY: test-deny
test-deny: deps-deny
	@$(prelude)
	use_rust
	cargo deny --locked check bans licenses sources
	if timeout 120 cargo deny --locked check advisories >'$(CARGO_TARGET_DIR)'/advisories.txt 2>&1; then
		say "advisories ok"
	elif grep -q 'failed to fetch advisory database' '$(CARGO_TARGET_DIR)'/advisories.txt; then
		say "advisories not checked: their database cannot be fetched from here"
	else
		cat '$(CARGO_TARGET_DIR)'/advisories.txt
		exit 1
	fi

# What decides, the server and the command line, with no GStreamer in the build. Plain `cargo test`,
# so that both runners are used in every run.
.PHONY: test-pure
test-pure:
	@$(prelude)
	use_rust
	timeout --foreground 1200 cargo test --locked --no-default-features

# nextest runs each test in a process of its own, which suits GStreamer, and ends one that hangs;
# where it is not installed, cargo's own runner does. Tests must pass under both.
.PHONY: test-media
test-media: clip
	@$(prelude)
	use_rust
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked
		cargo test --locked --doc
	else
		timeout --foreground 2400 cargo test --locked
	fi

.PHONY: test-page
test-page:
	@$(prelude)
	cd tests/page
	npm test

.PHONY: test-browser
test-browser: clip
	@$(prelude)
	use_rust
	cargo build --locked
	cd tests/e2e
	npm ci --no-audit --no-fund
	ROOMD_BIN="$$CARGO_TARGET_DIR/debug/roomd" npm test

# The device's camera and microphone in the tests: made once, and again when the generator changes.
.PHONY: clip
clip:
	@$(prelude)
	node tests/clip/make.mjs "$$ROOMD_CLIP"

# Pictures to look at, with the letters of this machine; they are in git.
.PHONY: screens
screens: deps-build deps-run ## paints docs/screens: what the wall shows
	@$(prelude)
	use_rust
	cargo test --locked --lib tests::screens -- --ignored

.PHONY: bench
bench: bench-device bench-delay bench-quality bench-footprint bench-receive bench-echo bench-compare ## measures: docs/benchmarks.md says what

.PHONY: bench-device
bench-device: deps-build deps-run deps-test
	@$(prelude)
	use_rust
	cargo build --release --locked
	cd tests/e2e
	npm ci --no-audit --no-fund
	ROOMD_BIN="$$CARGO_TARGET_DIR/release/roomd" node bench.mjs

# How late sound and pictures are at the device's own loudspeaker, microphone and screen, for ten
# minutes. DELAY='--count 5 --minutes 0' shows in one that everything works.
.PHONY: bench-delay
bench-delay: deps-build deps-run deps-test clip
	@$(prelude)
	use_rust
	cargo build --release --locked
	cd tests/e2e
	npm ci --no-audit --no-fund
	ROOMD_BIN="$$CARGO_TARGET_DIR/release/roomd" node delay.mjs $(DELAY)

# PESQ is compiled from PyPI, into target. The network that loses packets is a namespace of its own.
.PHONY: bench-quality
bench-quality: deps-build deps-run deps-test clip
	@$(prelude)
	use_rust
	apt "Measuring speech" $(PACKAGES_QUALITY)
	cargo build --release --locked
	venv="$$CARGO_TARGET_DIR/bench/python"
	[ -x "$$venv/bin/python" ] || python3 -m venv "$$venv"
	"$$venv/bin/python" -c 'import pesq' 2>/dev/null || "$$venv/bin/pip" install --quiet 'pesq==$(PESQ)' numpy
	cd tests/e2e
	npm ci --no-audit --no-fund
	ROOMD_BIN="$$CARGO_TARGET_DIR/release/roomd" node quality.mjs --python "$$venv/bin/python" $(QUALITY)

.PHONY: bench-footprint
bench-footprint: deps-build deps-run
	@$(prelude)
	use_rust
	cargo bench --locked --bench footprint

# Faster than real time, and with the same figures however busy the machine is.
.PHONY: bench-echo
bench-echo: deps-build deps-run deps-test
	@$(prelude)
	use_rust
	cargo bench --locked --bench echo

.PHONY: bench-receive
bench-receive: deps-build deps-run deps-test
	@$(prelude)
	use_rust
	cargo bench --locked --bench receive
	bench=$$(cargo bench --locked --bench receive --no-run --message-format=json |
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
	cd tests/e2e
	npm ci --no-audit --no-fund
	node receive.mjs "$$bench"

# Writes the second chapter of docs/benchmarks.md, and the figures to target/bench. The bottleneck
# needs root, for network namespaces, and so does nothing else.
.PHONY: bench-compare
bench-compare: deps-build deps-run deps-test
	@$(prelude)
	use_rust
	say "==> Building the comparison; the first time takes ten minutes or more."
	(cd benches/compare && cargo build --release --locked)
	(cd tests/e2e && npm ci --no-audit --no-fund)
	compare="$$CARGO_TARGET_DIR/release/roomd-compare"
	"$$compare" run --no-docs --only cost,two-way,latency,join $(BENCH)
	as_root "$$compare" run --no-docs --only bottleneck --out "$$CARGO_TARGET_DIR/bench" $(BENCH)
	"$$compare" report

# A bare Debian 12 and 13 with nothing but apt and make; needs root, the network and some time.
.PHONY: bare
bare: ## tries `make run` in bare roots of Debian 12 and 13
	@$(prelude)
	apt "make bare" $(PACKAGES_BARE)
	as_root tests/bare/try.sh $(SUITES)

# A machine of QEMU with the distribution's kernel, whose screen, camera and sound card are drivers
# alone. Making its root needs root and the network; the root is kept for the next time.
KIOSK := $(CARGO_TARGET_DIR)/kiosk
.PHONY: kiosk
kiosk: deps-build deps-run ## boots a device with a screen, a camera and a sound card, and looks at it
	@$(prelude)
	apt "make kiosk" $(PACKAGES_KIOSK)
	use_rust
	cargo build --locked
	cargo test --locked --test kiosk --no-run
	as_root tests/kiosk/image.sh '$(KIOSK)' "$$CARGO_TARGET_DIR/debug/roomd" $(KIOSK_RUN)
	ROOMD_KIOSK='$(KIOSK)' ROOMD_KIOSK_SHOT=docs/screens/kiosk.png \
		cargo test --locked --test kiosk -- --ignored --nocapture

# ---- What is needed -------------------------------------------------------------------------------

.PHONY: deps-build
deps-build: deps-rust ## Debian packages and Rust, to build
	@$(prelude)
	apt "Building roomd" $(PACKAGES_BUILD)

.PHONY: deps-run
deps-run: ## Debian packages, to run
	@$(prelude)
	apt "Running roomd" $(PACKAGES_RUN)

.PHONY: deps-test
deps-test: deps-deny ## Debian packages, Node and cargo-deny, to test
	@$(prelude)
	turn=$$(command -v turnserver || :)
	apt "Testing roomd" $(PACKAGES_TEST)
	has_node || apt "Testing roomd" $(PACKAGES_NODE)
	has_node || die "the tests need Node $(NODE_MAJOR) or newer, with npm; here is $$(node --version 2>&1)"
	# The tests start their own; one that listens to the world was not asked for.
	if [ -z "$$turn" ] && [ -d /run/systemd/system ] && systemctl is-active --quiet coturn; then
		say "==> coturn was installed for the tests; stopping the service that came with it."
		as_root systemctl disable --now coturn
	fi

.PHONY: deps-rust
deps-rust:
	@$(prelude)
	! find_rust || exit 0
	if command -v rustup >/dev/null || [ -x "$${HOME:-/root}/.cargo/bin/rustup" ]; then
		die "rustup is here, but no cargo of 1.$(RUST_MINOR) or newer; run: rustup update stable"
	fi
	for package in cargo rustc; do
		! command -v dpkg-query >/dev/null || ! has_package $$package ||
			say "==> Debian's $$package is older than 1.$(RUST_MINOR) and will be replaced by $$package-web."
	done
	keep=
	apt "Building roomd (Rust 1.$(RUST_MINOR) or newer)" $(PACKAGES_RUST)
	find_rust || die "Debian's cargo-web is older than 1.$(RUST_MINOR) too: is the security archive among your sources? Or install Rust with rustup."

.PHONY: deps-deny
deps-deny:
	@$(prelude)
	use_rust
	! cargo deny --version >/dev/null 2>&1 || exit 0
	say "==> Testing roomd needs cargo-deny, which will be built and installed into $${CARGO_HOME:-~/.cargo}/bin."
	agreed 'Build and install it?' || die "nothing was installed"
	cargo install --locked --version $(CARGO_DENY) cargo-deny

# ---- Install --------------------------------------------------------------------------------------

bindir := $(PREFIX)/bin
unitdir := $(PREFIX)/lib/systemd/system
sysusersdir := $(PREFIX)/lib/sysusers.d
docdir := $(PREFIX)/share/doc/roomd
# Where roomd and Avahi look, whatever the prefix.
datadir := /usr/share/roomd
sysconfdir := /etc/roomd
avahidir := /etc/avahi/services

.PHONY: install
install: ## installs roomd as a service, and starts it
	@$(prelude)
	# Under sudo, root need not have the Rust that the user has.
	if [ -n "$${SUDO_USER:-}" ] && [ -x '$(BINARY)' ]; then say "==> Installing $(BINARY) as it is."
	else $(SELF) build
	fi
	$(SELF) deps-run
	as_root $(SELF) install-files DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BINARY='$(BINARY)'
	[ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ] || exit 0
	as_root systemd-sysusers
	# A PIN or a credential may stand in it.
	as_root chown root:roomd '$(sysconfdir)/roomd.toml'
	as_root chmod 0640 '$(sysconfdir)/roomd.toml'
	as_root systemctl daemon-reload
	as_root systemctl enable roomd.service
	as_root systemctl restart roomd.service
	say "==> roomd runs. Where to join: sudo roomd status; the PIN: sudo roomd pin"

# Copies, and nothing else: no build, no user, no service.
.PHONY: install-files
install-files:
	@$(prelude)
	[ -x '$(BINARY)' ] || die "there is no $(BINARY); run make build first"
	install -D -m 0755 '$(BINARY)' '$(DESTDIR)$(bindir)/roomd'
	for file in pipelines/*/*.toml; do
		install -D -m 0644 "$$file" '$(DESTDIR)$(datadir)'/"$$file"
	done
	install -d -m 0755 '$(DESTDIR)$(unitdir)'
	sed -e 's|^ExecStart=/usr/bin/roomd |ExecStart=$(bindir)/roomd |' \
		-e 's|^\(Documentation=file://\)/usr/share/doc/roomd/|\1$(docdir)/|' \
		systemd/roomd.service >'$(DESTDIR)$(unitdir)/roomd.service'
	chmod 0644 '$(DESTDIR)$(unitdir)/roomd.service'
	install -D -m 0644 systemd/roomd.sysusers '$(DESTDIR)$(sysusersdir)/roomd.conf'
	install -D -m 0644 systemd/roomd.avahi '$(DESTDIR)$(avahidir)/roomd.service'
	install -D -m 0644 -t '$(DESTDIR)$(docdir)' README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE
	install -d -m 0755 '$(DESTDIR)$(sysconfdir)' '$(DESTDIR)$(sysconfdir)/pipelines'
	[ -e '$(DESTDIR)$(sysconfdir)/roomd.toml' ] ||
		install -m 0644 systemd/roomd.toml '$(DESTDIR)$(sysconfdir)/roomd.toml'

.PHONY: uninstall
uninstall: ## removes what make install installed; keeps /etc/roomd and /var/lib/roomd
	@$(prelude)
	if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then
		as_root systemctl disable --now roomd.service || :
	fi
	as_root $(SELF) uninstall-files DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'
	if [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]; then as_root systemctl daemon-reload; fi
	say "==> Kept: /etc/roomd (settings) and /var/lib/roomd (PIN, token, certificate authority)."

.PHONY: uninstall-files
uninstall-files:
	@rm -f '$(DESTDIR)$(bindir)/roomd' '$(DESTDIR)$(unitdir)/roomd.service' \
		'$(DESTDIR)$(sysusersdir)/roomd.conf' '$(DESTDIR)$(avahidir)/roomd.service'
	rm -rf '$(DESTDIR)$(datadir)' '$(DESTDIR)$(docdir)'
