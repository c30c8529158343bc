# The functions of OpenWrt's shell library that read UCI.  The variables are named
# as there: CONFIG_section_option, and for a list also _LENGTH and _ITEM1 and on.
# shellcheck shell=dash

# As there, variables of a file that was loaded before are forgotten, by their names.
config_load() {
	local _name
	for _name in $(set | sed -n 's/^\(CONFIG_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$_name"; done
	CONFIG_SECTIONS=
	eval "$(awk -f /lib/functions/uci.awk "/etc/config/$1")"
}

config_get() {
	eval "$1=\${CONFIG_${2}_$3:-\$4}"
}

config_get_bool() {
	local _value
	config_get _value "$2" "$3" "$4"
	case $_value in
		1 | on | true | yes | enabled) _value=1 ;;
		0 | off | false | no | disabled) _value=0 ;;
		*) _value=$4 ;;
	esac
	eval "$1=\$_value"
}

config_foreach() {
	local _function="$1" _type="$2" _section _is
	shift 2
	for _section in $CONFIG_SECTIONS; do
		config_get _is "$_section" TYPE
		[ "$_is" != "$_type" ] || "$_function" "$_section" "$@"
	done
}

config_list_foreach() {
	local _section="$1" _option="$2" _function="$3" _length _value _number=1
	shift 3
	config_get _length "$_section" "${_option}_LENGTH" 0
	while [ "$_number" -le "$_length" ]; do
		config_get _value "$_section" "${_option}_ITEM$_number"
		"$_function" "$_value" "$@"
		_number=$((_number + 1))
	done
}

# Only for the first section of a type: uci_get system '@system[0]' hostname
uci_get() {
	local value
	value=$(sed -n "s/^[[:space:]]*option $3 '\(.*\)'/\1/p" "/etc/config/$1" | head -n 1)
	echo "${value:-$4}"
}
