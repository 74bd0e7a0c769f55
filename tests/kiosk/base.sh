#!/bin/sh
# Makes the root that `image.sh` puts roomd into.
#
#   tests/kiosk/base.sh ROOT PACKAGE...
set -eu

suite=bookworm
here=$(cd "$(dirname "$0")" && pwd)
root=$1
shift

main() {
	options=$root.apt
	apt-config dump | grep '^Acquire::' >"$options" || :
	main=$(mirror -v security)
	security=$(mirror security)
	packages=$(printf '%s,' "$@")
	mmdebstrap --variant=minbase --include="${packages%,}" --aptopt="$options" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/net/*' \
		--dpkgopt='path-include=/lib/modules/*/kernel/drivers/net/virtio_net.ko' \
		--dpkgopt='path-include=/lib/modules/*/kernel/drivers/net/net_failover.ko' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/drm/amd/*' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/drm/i915/*' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/gpu/drm/radeon/*' \
		--dpkgopt='path-exclude=/lib/modules/*/kernel/sound/soc/*' \
		--dpkgopt=force-confold \
		--essential-hook="mkdir -p \"\$1/etc/initramfs-tools/conf.d\"" \
		--essential-hook="printf 'MODULES=list\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n' >\"\$1/etc/initramfs-tools/conf.d/kiosk\"" \
		--essential-hook="printf 'virtio_pci\nvirtio_blk\next4\n' >\"\$1/etc/initramfs-tools/modules\"" \
		--customize-hook="sh '$here/prepare.sh' \"\$1\"" \
		"$suite" "$root" \
		"deb $main $suite main" "deb $main $suite-updates main" "deb $security $suite-security main"
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

main "$@"
