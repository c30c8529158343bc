# What /lib/functions/network.sh tells of networks that are up.  /networks has a
# line for each: name, device, protocol, IPv4 address with prefix, IPv6 address.
# shellcheck shell=dash

# Set variable $1 to field $3 of network $2.
network_field() {
	local _value
	_value=$(awk -v name="$2" -v field="$3" '$1 == name { print $field }' /networks)
	eval "$1=\$_value"
	[ -n "$_value" ]
}

network_get_device() { network_field "$1" "$2" 2; }
network_get_protocol() { network_field "$1" "$2" 3; }
network_get_subnet() { network_field "$1" "$2" 4; }
network_get_ipaddr6() { network_field "$1" "$2" 5; }
network_get_ipaddr() {
	network_get_subnet "$1" "$2" || return 1
	eval "$1=\${$1%/*}"
}
