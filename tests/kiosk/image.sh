#!/bin/sh
# Makes the kiosk that `tests/kiosk.rs` boots: a Debian 12 of systemd, GStreamer and roomd with its
# own unit, and the distribution's kernel with cameras and sound cards that are drivers alone.
#
#   tests/kiosk/image.sh DIR PROGRAM PACKAGE...     needs root
#
# Afterwards DIR holds `disk` (ext4), `kernel` and `initrd`. The root without roomd is kept in DIR
# and taken again as long as what it is made of is the same. What this machine needs to reach its
# mirrors is read from apt; nothing of that gets into the root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$1
program=$2
shift 2
base=$dir/base
root=$dir/root

# Beside what roomd needs to run: a machine to run it on, and what shows its devices.
set -- "$@" \
	systemd-sysv udev dbus kmod iproute2 `# a machine that boots` \
	linux-image-amd64 initramfs-tools `# its kernel, which has vivid, snd-aloop and virtio-gpu` \
	v4l-utils alsa-utils `# what the devices say of themselves`

main() {
	[ "$(id -u)" = 0 ] || die "making a root needs root"
	mkdir -p "$dir"
	key=$(printf '%s\n' "$@" | cat - "$here/base.sh" "$here/prepare.sh" | sha256sum)
	if [ "$(cat "$base.key" 2>/dev/null)" != "$key" ]; then
		say "making a root of Debian"
		rm -rf --one-file-system "$base" "$base.key"
		"$here/base.sh" "$base" "$@" >"$base.log" 2>&1 || die "no root could be made; $base.log says why"
		printf '%s\n' "$key" >"$base.key"
	fi
	say "putting roomd into it"
	rm -rf --one-file-system "$root"
	cp -a --reflink=auto "$base" "$root"
	mv "$root"/boot/vmlinuz-* "$dir/kernel"
	mv "$root"/boot/initrd.img-* "$dir/initrd"
	make -C "$here/../.." install-files DESTDIR="$root" BINARY="$program" >/dev/null
	install -m 0640 "$here/roomd.toml" "$here/guest.toml" "$root/etc/roomd/"
	chroot "$root" systemd-sysusers
	chroot "$root" chown root:roomd /etc/roomd/roomd.toml
	chroot "$root" systemctl --quiet enable roomd.service
	# The unit as it is, but for its patience: a machine of software on a busy one stands still.
	mkdir "$root/etc/systemd/system/roomd.service.d"
	printf '[Service]\nTimeoutStartSec=600\nWatchdogSec=600\nTimeoutStopSec=60\n' \
		>"$root/etc/systemd/system/roomd.service.d/patience.conf"
	# Reading the list of plugins takes a second in there, making it a quarter of a minute.
	mkdir -p "$root/var/cache/roomd"
	chroot "$root" env GST_REGISTRY=/var/cache/roomd/registry.bin roomd devices >/dev/null
	say "making a disk of it"
	rm -f "$dir/disk"
	mke2fs -q -t ext4 -O '^has_journal' -d "$root" "$dir/disk" 3G
	rm -rf --one-file-system "$root"
}

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() {
	printf 'kiosk: %s\n' "$*" >&2
	exit 1
}

main "$@"
