#!/bin/sh
# Two hosts on one cable, of which the one at home sends at most so fast:
#
#   home 192.0.2.2 ──► UPLINK (as `tc` writes rates: 1mbit) ──► 192.0.2.1 away
#
# As a household's modem has it, what is too much waits for up to 300 ms and is then dropped.
# Must be run inside a network and a mount namespace of its own (`unshare --net --mount`), so
# nothing of it is seen outside, and all of it is gone when the last process in it ends.
# The addresses are those that RFC 5737 sets aside for documentation.
set -eu

mount -t tmpfs tmpfs /run
ip link set lo up
for host in home away; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
ip link add eth0 netns home type veth peer name eth0 netns away
ip -n home addr add 192.0.2.2/24 dev eth0
ip -n away addr add 192.0.2.1/24 dev eth0
for host in home away; do ip -n "$host" link set eth0 up; done
ip -n home route add default via 192.0.2.1
ip -n away route add default via 192.0.2.2
ip netns exec home tc qdisc add dev eth0 root tbf rate "$UPLINK" burst 5kb latency 300ms

exec "$@"
