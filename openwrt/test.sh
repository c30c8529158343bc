#!/bin/sh
# The feed's checks run this on a system where the package is installed, with its
# name and its version as arguments.

name=${1:-$PKG_NAME}
version=${2:-$PKG_VERSION}

fail() {
	echo "$name: $*" >&2
	exit 1
}

[ "$name" = pydnsmasq ] || exit 0

dnsmasq --version | grep -qF "pydnsmasq $version," || fail "--version does not say $version"
dnsmasq --version | grep -q '^Compile time options: .* DHCP .*TFTP' || fail "--version lacks what it can"
dnsmasq --test || fail "the configuration that comes with it is refused"
dnsmasq --help dhcp | grep -q router || fail "the module does not run"

# A server of its own for one question; PORT is free on a machine for tests.
port=${PORT:-5399}
dnsmasq -k -C /dev/null -R -h -x '' -u root -p "$port" --listen-address=127.0.0.1 \
	--host-record=check.test,192.0.2.7 &
server=$!
trap 'kill $server' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
	sleep 1
	nslookup -port="$port" check.test 127.0.0.1 2>/dev/null | grep -q 192.0.2.7 && exit 0
done
fail "no answer from port $port"
