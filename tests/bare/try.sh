#!/bin/sh
# Tries `make run` where there is nothing: roots of Debian with apt and make, made by mmdebstrap.
#
#   tests/bare/try.sh [bookworm] [trixie]        both, when none is named; needs root
#
# A suite has passed when roomd prints an address that a phone could use, and serves its page. What this machine needs to reach its mirrors (apt's own options, proxies, authorities,
# cargo's settings) is read from it and put into the root; nothing of that is part of the project.
#
#   BARE_DIR=…     where the roots and the logs go       (default: target/bare)
#   BARE_KEEP=1    keeps the root afterwards, to look into it
#   BARE_AGAIN=1   takes the root that was kept, what it built included, and keeps it again
#   BARE_CRATES=1  hands this machine's downloaded crates in, which spares the registry
#   BARE_LIMIT=…   seconds for one suite                 (default: 3600)
set -eu

cd "$(dirname "$0")/../.."
dir=${BARE_DIR:-$PWD/target/bare}
limit=${BARE_LIMIT:-3600}
running=
root=

main() {
	[ "$(id -u)" = 0 ] || die "making a root needs root"
	command -v mmdebstrap >/dev/null || die "mmdebstrap is missing; start this by: make bare"
	[ "$#" -gt 0 ] || set -- bookworm trixie
	mkdir -p "$dir"
	trap clean EXIT
	trap 'exit 130' INT TERM
	for suite; do
		begun=$(date +%s)
		root=$dir/$suite
		log=$dir/$suite.log
		if [ -n "${BARE_AGAIN:-}" ] && [ -d "$root/root/roomd" ]; then
			say "$suite: taking the root that is there"
		else
			remove_root
			say "$suite: making a root with apt and make"
			make_root "$suite"
		fi
		hand_over
		say "$suite: make run (the log: $log)"
		try "$log" || die "$suite: no address was printed; the last lines:
$(tail -n 25 "$log")"
		say "$suite: passed in $(($(date +%s) - begun)) s: $address"
		kept || remove_root
	done
}

# Only the essential packages, apt and make, from the mirrors of this machine.
make_root() {
	main=$(mirror -v security)
	security=$(mirror security)
	options=$dir/apt.conf
	apt-config dump | grep '^Acquire::' >"$options" || :
	mmdebstrap --quiet --variant=apt --include=make --aptopt="$options" \
		--skip=check/empty "$1" "$root" \
		"deb $main $1 main" "deb $main $1-updates main" "deb $security $1-security main"
}

# The URI of an archive that this machine uses: `mirror security`, or `mirror -v security`.
mirror() {
	# shellcheck disable=SC2016 # the dollar is apt's
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep "$@" | head -n 1 |
		grep . || case $1 in
		-v) echo http://deb.debian.org/debian ;;
		*) echo http://deb.debian.org/debian-security ;;
		esac
}

# The checkout as git knows it, changes included, and how this machine reaches the world.
hand_over() {
	mkdir -p "$root/root/roomd" "$root/root/.cargo" "$root/usr/local/share/ca-certificates"
	git ls-files -z --cached --others --exclude-standard |
		tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory="$root/root/roomd"
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	cp -L "$dir/apt.conf" "$root/etc/apt/apt.conf.d/99this-machine"
	find /usr/local/share/ca-certificates -name '*.crt' \
		-exec cp -L {} "$root/usr/local/share/ca-certificates/" \;
	cargo_home=${CARGO_HOME:-$HOME/.cargo}
	[ ! -e "$cargo_home/config.toml" ] || cp -L "$cargo_home/config.toml" "$root/root/.cargo/"
	if [ -n "${BARE_CRATES:-}" ] && [ -d "$cargo_home/registry" ]; then
		mkdir -p "$root/root/.cargo/registry"
		cp -r "$cargo_home/registry/index" "$cargo_home/registry/cache" "$root/root/.cargo/registry/"
	fi
}

# Runs `make run` with no terminal in namespaces of its own, so that all of it ends with it, and
# reads what it prints up to the address. Sets `address`.
try() {
	address=
	lines=$dir/lines
	rm -f "$lines"
	mkfifo "$lines"
	# shellcheck disable=SC2016 # the words are for the shell inside
	timeout "$limit" unshare --mount --pid --fork --kill-child --mount-proc sh -euc '
		mount --rbind /dev "$1/dev"
		mount -t proc proc "$1/proc"
		mount --rbind /sys "$1/sys"
		mount -t tmpfs tmpfs "$1/run"
		exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
			${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
			${no_proxy:+"no_proxy=$no_proxy"} make --directory=/root/roomd run
	' sh "$root" </dev/null >"$lines" 2>&1 &
	running=$!
	: >"$log"
	while IFS= read -r line; do
		printf '%s\n' "$line" >>"$log"
		case $line in
		'==> '*) say "    ${line#==> }" ;;
		*https://*:8443*)
			address=$(printf '%s\n' "$line" | sed 's|.*\(https://[^ ]*:8443[^ ]*\).*|\1|')
			case $address in
			https://localhost* | https://127.* | https://\[::1\]*) ;;
			*) page_comes && break || address= ;;
			esac
			;;
		esac
	done <"$lines"
	stop
	[ -n "$address" ]
}

# Through loopback, and with no check of the certificate: nobody has installed the authority of a
# root made just now.
page_comes() {
	node -e '
		process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
		fetch(process.argv[1], { signal: AbortSignal.timeout(10_000) })
			.then((answer) => answer.text())
			.then((text) => process.exit(/<title>/i.test(text) ? 0 : 1), () => process.exit(1));
	' https://localhost:8443/ 2>/dev/null
}

stop() {
	[ -n "$running" ] || return 0
	kill "$running" 2>/dev/null || :
	wait "$running" 2>/dev/null || :
	running=
	rm -f "$dir/lines"
}

remove_root() {
	[ -z "$root" ] || rm -rf --one-file-system "$root"
}

clean() {
	stop
	kept || remove_root
}

kept() { [ -n "${BARE_KEEP:-}${BARE_AGAIN:-}" ]; }

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() {
	printf 'bare: %s\n' "$*" >&2
	exit 1
}

main "$@"
