# The functions of libubox's jshn that make JSON, as far as an object with an
# array of strings needs them.
# shellcheck shell=dash

json_init() { json='' json_comma=''; }
json_add_array() { json="$json\"$1\":["; }
json_close_array() { json="$json]"; }
json_add_string() {
	json="$json$json_comma\"$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')\""
	json_comma=,
}
json_dump() { echo "{$json}"; }
