#!/bin/sh
# The server runs this for each lease that comes, changes or goes, for each
# neighbour and for each file that went out by TFTP.  procd then runs what
# packages have in /etc/hotplug.d/dhcp, neigh and tftp.
# shellcheck shell=dash disable=SC1090,SC1091

[ -z "$USER_DHCPSCRIPT" ] || . "$USER_DHCPSCRIPT"

. /usr/share/libubox/jshn.sh

variables() {
	local item
	for item; do json_add_string '' "$item"; done
}

case $1 in
	add | arp-add) action=add ;;
	old) action=update ;;
	del | arp-del) action=remove ;;
	tftp) action=add ;;
	*) exit 0 ;;
esac

json_init
json_add_array env
variables "ACTION=$action"
case $1 in
	tftp)
		kind=tftp
		variables "TFTP_SIZE=$2" "TFTP_ADDR=$3" "TFTP_PATH=$4"
		;;
	arp-*)
		kind=neigh
		variables "MACADDR=$2" "IPADDR=$3"
		;;
	*)
		kind=dhcp
		variables "MACADDR=$2" "IPADDR=$3" "HOSTNAME=$4"
		;;
esac
# Without sed and its like, which a jail does not show.  A value may be anything.
while IFS= read -r line; do
	name=${line%%=*}
	case $name in
		*[!A-Za-z0-9_]*) ;;
		DNSMASQ_*) eval "variables \"$name=\$$name\"" ;;
		*) ;;
	esac
done <<END
$(env)
END
json_close_array

ubus call "hotplug.$kind" call "$(json_dump)"
