# The functions by which an init script speaks to procd.  Each writes what it was
# told as a line of /recorded.
# shellcheck shell=dash

tell_test() { echo "$@" >>/recorded; }

rc_procd() {
	"$@"
	tell_test set
}

for name in open_instance close_instance set_param add_jail add_jail_mount add_jail_mount_rw send_signal \
	add_reload_trigger add_interface_trigger add_raw_trigger; do
	eval "procd_$name() { tell_test $name \"\$@\"; }"
done

# A trigger also says how long it waits.
procd_add_interface_trigger() { tell_test add_interface_trigger "$@" after "$PROCD_RELOAD_DELAY"; }
