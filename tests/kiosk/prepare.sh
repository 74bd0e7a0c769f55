#!/bin/sh
# What `image.sh` changes in the root before roomd comes into it: its devices, and a shell for the
# test. Called by mmdebstrap with the root.
set -eu
root=$1

# Two sound cards whose ends are joined, and a camera; the screen is QEMU's.
printf '%s\n' vivid snd-aloop >"$root/etc/modules-load.d/kiosk.conf"
printf '%s\n' \
	'options vivid n_devs=1 node_types=0x1 input_types=0x00' \
	'options snd-aloop id=kiosk pcm_substreams=2' >"$root/etc/modprobe.d/kiosk.conf"

# A root shell at the end of a virtual cable; the test types into it, and reads.
cat >"$root/etc/systemd/system/cable.service" <<'UNIT'
[Unit]
Description=The shell of the test
# Until the driver of the cable is there.
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh -c 'exec /bin/sh <>/dev/virtio-ports/cable >&0 2>&0'
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
UNIT
ln -s ../cable.service "$root/etc/systemd/system/multi-user.target.wants/cable.service"

# An address by DHCP, and nobody behind it: QEMU's network is closed.
cat >"$root/etc/systemd/network/wired.network" <<'NETWORK'
[Match]
Name=e*
[Network]
DHCP=ipv4
NETWORK
ln -s /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"

echo kiosk >"$root/etc/hostname"
printf '127.0.0.1 localhost kiosk\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
# What a kiosk in a test has no time for.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer systemd-timesyncd.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
