#!/bin/sh
# Four hosts on one machine, for a device and a browser that are each behind a NAT of their own:
#
#   device 192.168.10.2 ── devicenat 203.0.113.30 ─┐
#                                                  ├── 203.0.113.10 server
#   browser 192.168.20.2 ── browsernat 203.0.113.40┘   203.0.113.20 turn
#
# Must be run inside a network and a mount namespace of its own (`unshare --net --mount`), so
# nothing of it is seen outside, and all of it is gone when the last process in it ends.
# The addresses are those that RFC 5737 sets aside for documentation.
set -eu

mount -t tmpfs tmpfs /run
ip link set lo up
for host in internet device devicenat browser browsernat server turn; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
ip -n internet link add bridge type bridge
ip -n internet link set bridge up

# A host with a public address.
public() {
    ip link add "$1-a" type veth peer name "$1-b"
    ip link set "$1-a" netns "$1" name eth0
    ip link set "$1-b" netns internet master bridge up 2>/dev/null || {
        ip link set "$1-b" netns internet
        ip -n internet link set "$1-b" master bridge up
    }
    ip -n "$1" addr add "$2/24" dev eth0
    ip -n "$1" link set eth0 up
}
public server 203.0.113.10
public turn 203.0.113.20
public devicenat 203.0.113.30
public browsernat 203.0.113.40

# A host that has only a private address behind a router that lets nothing in by itself.
private() {
    ip link add "$1-l" type veth peer name "$1-r"
    ip link set "$1-l" netns "$1" name eth0
    ip link set "$1-r" netns "$2" name lan
    ip -n "$1" addr add "$3.2/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$2" addr add "$3.1/24" dev lan
    ip -n "$2" link set lan up
    ip -n "$1" route add default via "$3.1"
    ip netns exec "$2" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
    ip netns exec "$2" iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
    ip netns exec "$2" iptables -A FORWARD -i eth0 -m state --state ESTABLISHED,RELATED -j ACCEPT
    ip netns exec "$2" iptables -A FORWARD -i eth0 -j DROP
    # What comes unasked is not for the router either. If it were accepted, the router would hold
    # the port for it, and what is sent from behind later would leave by another.
    ip netns exec "$2" iptables -A INPUT -i eth0 -m state --state ESTABLISHED,RELATED -j ACCEPT
    ip netns exec "$2" iptables -A INPUT -i eth0 -j DROP
}
private device devicenat 192.168.10
private browser browsernat 192.168.20

exec "$@"
