#!/bin/sh
# Put pydnsmasq on a machine, in the place of dnsmasq.  It needs a shell, Python 3.10
# or newer and the everyday commands of a busybox; no make, no package manager.
#
#   sh init.d/install.sh            from the copied directory: install and start
#   sh install.sh                   with nothing but pydnsmasq.py beside it
#   sh /usr/lib/pydnsmasq/install.sh --undo         the machine as it was before
#
# Run it again to upgrade.  What it did not write it does not overwrite: that is moved
# to /usr/lib/pydnsmasq/kept (with dpkg-divert: beside it, as .distrib) and put back
# by --undo.  The configuration and the leases stay in any case.
#
# The program is compiled once, for the Python that is there, as starting from source
# costs time and memory.  The source stays beside it: when the system gets another
# Python, the server starts from that until /usr/lib/pydnsmasq/install.sh has run.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

usage() {
    cat <<END
Usage: sh install.sh [--undo] [--no-start] [--root DIR] [--init KIND] [--python PATH]
  --undo         take pydnsmasq away, put back what was there
  --no-start     install and enable, but start nothing
  --root DIR     install into the tree DIR, for whoever builds images
  --init KIND    systemd, openrc, procd, sysv or none, instead of what is found
  --python PATH  the Python of the machine (/usr/bin/python3, else the first on PATH)
END
}

lib=/usr/lib/pydnsmasq
program=/usr/sbin/dnsmasq
account=dnsmasq
leases=/var/lib/misc/dnsmasq.leases
root='' init='' python='' undo='' start=yes

say() { echo "pydnsmasq: $*"; }
fail() {
    echo "pydnsmasq: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --undo) undo=yes ;;
        --no-start) start='' ;;
        --root | --init | --python)
            [ -n "${2:-}" ] || fail "$1 needs a value"
            case $1 in
                --root) root=$(cd "$2" 2>/dev/null && pwd) || fail "there is no directory $2" ;;
                --init) init=$2 ;;
                *) python=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 1
            ;;
    esac
    shift
done
[ "$root" != / ] || root=''
[ -z "$root" ] || start=''
manifest=$root$lib/manifest
here=$(cd "$(dirname "$0")" && pwd) || exit 1

# -- what is written, and how it is remembered ---------------------------------

exists() { [ -e "$1" ] || [ -L "$1" ]; }
noted() { grep -qxF -e "$*" "$manifest" 2>/dev/null; }

# Remember something for the undo, before it is done: a power failure may come between.
note() { noted "$@" || echo "$*" >>"$manifest" || fail "cannot write $manifest"; }

# Make the directory $1 and remember which parts of its path are new.
make_dir() {
    if [ -z "$1" ] || [ -d "$root$1" ]; then return; fi
    make_dir "${1%/*}"
    note dir "$1"
    mkdir "$root$1" || fail "cannot make $root$1"
}

# Whether this script has put the file $1 there, and nobody another dnsmasq since.
ours() {
    noted file "$1" || return 1
    case $1 in
        */dnsmasq | */dnsmasq.service) [ -L "$root$1" ] || grep -q pydnsmasq "$root$1" 2>/dev/null ;;
        *) ;;
    esac
}

# Move away what is at $1 and not ours.
keep() {
    if ! exists "$root$1" || ours "$1"; then return 0; fi
    note kept "$1"
    rm -rf "$root$lib/kept$1"
    if ! mkdir -p "$root$lib/kept${1%/*}" || ! mv "$root$1" "$root$lib/kept$1"; then
        fail "cannot move $root$1 away"
    fi
    say "$1 is kept as $lib/kept$1"
}

# Copy the file $1 to $2 with mode $3, at one stroke.
put() {
    make_dir "${2%/*}"
    keep "$2"
    note file "$2"
    if ! cp "$1" "$root$2.new" || ! chmod "$3" "$root$2.new" || ! mv -f "$root$2.new" "$root$2"; then
        fail "cannot write $root$2"
    fi
}

# Make the symbolic link $2 to $1, unless something of that name is there.
link() {
    exists "$root$2" && return
    make_dir "${2%/*}"
    note file "$2"
    ln -s "$1" "$root$2" || fail "cannot make the link $root$2"
}

# Packages that bring a dnsmasq later shall not overwrite ours.
divert() {
    if [ -n "$root" ] || ! command -v dpkg-divert >/dev/null; then return; fi
    [ -z "$(dpkg-divert --list "$1")" ] || return 0
    note diverted "$1"
    dpkg-divert --quiet --local --rename --divert "$1.distrib" --add "$1" || fail "dpkg-divert fails"
}

# -- what is there -------------------------------------------------------------

# The first of the files that are named; fails when there is none.
first() {
    for path in "$@"; do
        if [ -f "$path" ]; then
            echo "$path"
            return 0
        fi
    done
    return 1
}

# The path of a file of the repository, which may have been copied without its directory.
beside() {
    first "$here/${1##*/}" "$here/$1" "$here/../$1"
}

find_init() {
    if [ -x "$root/sbin/procd" ] && [ -f "$root/etc/rc.common" ]; then
        echo procd
    elif [ -z "$root" ] && [ -d /run/systemd/system ]; then
        echo systemd
    elif [ -n "$root" ] && first "$root/usr/lib/systemd/systemd" "$root/lib/systemd/systemd" >/dev/null; then
        echo systemd
    elif [ -x "$root/sbin/openrc-run" ] && { [ -n "$root" ] || [ -d /run/openrc ]; }; then
        echo openrc
    elif [ -d "$root/etc/init.d" ]; then
        echo sysv
    else
        echo none
    fi
}

# Set $python to the path on the machine, and $compiler to what can compile for it.
find_python() {
    if [ -z "$python" ]; then
        python=/usr/bin/python3
        [ -n "$root" ] || [ -x "$python" ] || python=$(command -v python3) || fail "there is no python3 here.
  Install Python 3.10 or newer (Alpine: apk add python3, OpenWrt: python3-light,
  Debian: apt-get install python3), or name it with --python PATH."
    fi
    compiler=$python
    if [ -n "$root" ]; then
        # The tree may be for another machine: what counts is the number of its Python.
        exists "$root$python" || fail "there is no $root$python: the tree needs Python, or name it with --python PATH"
        compiler=''
        for path in "$root"/usr/lib/python3.*/os.py*; do
            name=${path%/*}
            ! command -v "${name##*/}" >/dev/null || compiler=${name##*/}
        done
    fi
    [ -n "$compiler" ] || return 0
    "$compiler" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$("$compiler" --version 2>&1) is too old: pydnsmasq needs 3.10 or newer.
  Install a newer one beside it, and name it with --python PATH."
    "$compiler" "$source" --version >"$work/version" 2>"$work/error" ||
        fail "$compiler cannot run the program:
$(cat "$work/error")
  If a module is missing, this Python is not whole: install all of it
  (OpenWrt: python3-light, Debian: python3 and not only python3-minimal)."
}

# -- the account ---------------------------------------------------------------

has_account() {
    grep -q "^$account:" "$root/etc/passwd" 2>/dev/null && return
    [ -z "$root" ] && id -u "$account" >/dev/null 2>&1
}

# The line "$2" at the end of the file $1, remembered.
append() {
    [ -e "$root$1" ] || return 0
    note line "$1" "$2"
    [ -z "$(tail -c 1 "$root$1")" ] || echo >>"$root$1"
    echo "$2" >>"$root$1" || fail "cannot write $root$1"
}

make_account() {
    if has_account; then return; fi
    if [ ! -e "$root/etc/passwd" ]; then
        say "there is no /etc/passwd, thus no account $account: give the program --user"
        return
    fi
    number=453
    while cut -d : -f 3 "$root/etc/passwd" "$root/etc/group" 2>/dev/null | grep -qx "$number"; do
        number=$((number + 1))
    done
    lock='*'
    [ ! -e "$root/etc/shadow" ] || lock=x
    append /etc/shadow "$account:*:0:0:99999:7:::"
    group=$(sed -n "s/^$account:[^:]*:\([0-9]*\):.*/\1/p" "$root/etc/group" 2>/dev/null)
    [ -n "$group" ] || append /etc/group "$account:x:${group:=$number}:"
    append /etc/passwd "$account:$lock:$number:$group:dnsmasq:/var/lib/misc:/bin/false"
}

# -- the program ---------------------------------------------------------------

# Make $work/pydnsmasq.pyc: as small as can be, or plainly, which takes less memory.
compile() {
    if [ -z "$compiler" ]; then
        say "no Python here is of the version in $root: the program will start from source"
        return
    fi
    if tool=$(beside openwrt/compile.py) && "$compiler" "$tool" "$source" "$work" 2>"$work/error"; then
        return
    fi
    "$compiler" -c 'import py_compile, sys; py_compile.compile(*sys.argv[1:], doraise=True)' \
        "$source" "$work/pydnsmasq.pyc" pydnsmasq.py && return
    rm -f "$work/pydnsmasq.pyc"
    say "the program cannot be compiled here and will start from source"
}

# What follows is for a machine to which only two files were copied.  The files in
# init.d and openwrt do the same with more comfort.

plain_launcher() {
    cat <<END
#!/usr/bin/python3 -sS
# Starts pydnsmasq; the name of this file is that of the process.
import sys

sys.path[0] = "$lib"
try:
    from pydnsmasq import main
except ImportError:  # compiled for another Python
    sys.path[0] = "$lib/source"
    from pydnsmasq import main

sys.exit(main())
END
}

plain_service() {
    cat <<END
#!/bin/sh
# Starts and stops pydnsmasq.
file=/run/dnsmasq/dnsmasq.pid
pid=\$(cat "\$file" 2>/dev/null)
runs() { [ -n "\$pid" ] && grep -qs "\$file" "/proc/\$pid/cmdline"; }
case \${1:-} in
    start)
        mkdir -p "\${file%/*}" ${leases%/*} && chown $account "\${file%/*}" &&
            exec $program -u $account -x "\$file"
        ;;
    stop)
        ! runs || kill "\$pid"
        while runs; do sleep 1; done
        ;;
    restart) $program --test && "\$0" stop && "\$0" start ;;
    reload) runs && kill -HUP "\$pid" ;;
    status) runs ;;
    *) echo "Usage: \$0 start|stop|restart|reload|status" ;;
esac
END
}

plain_unit() {
    cat <<END
[Unit]
Description=pydnsmasq
After=network.target
Wants=nss-lookup.target
Before=nss-lookup.target

[Service]
Type=forking
RuntimeDirectory=dnsmasq
PIDFile=/run/dnsmasq/dnsmasq.pid
ExecStartPre=$program --test
ExecStart=$program -u $account -x /run/dnsmasq/dnsmasq.pid
ExecReload=/bin/kill -HUP \$MAINPID

[Install]
WantedBy=multi-user.target
END
}

plain_openrc() {
    cat <<END
#!/sbin/openrc-run
# Starts and stops pydnsmasq.
supervisor=supervise-daemon
command=$program
command_args="-k -u $account -x ''"
start_pre() { "\$command" --test; }
END
}

# The path of the file init.d/$1, or of a plain one that the function $2 writes.
either() {
    beside "init.d/$1" && return
    "$2" >"$work/$2" && echo "$work/$2"
}

install_program() {
    for name in pydnsmasq.pyc version; do
        [ ! -f "$work/$name" ] || put "$work/$name" "$lib/$name" 644
    done
    [ "$here" != "$root$lib" ] || return 0
    put "$source" "$lib/source/pydnsmasq.py" 644
    put "$here/${0##*/}" "$lib/install.sh" 755
    ! tool=$(beside openwrt/compile.py) || put "$tool" "$lib/compile.py" 644
    sed "1s|^#![^ ]*|#!$python|" "$(launcher)" >"$work/launcher" || fail "cannot write $work/launcher"
    divert "$program"
    put "$work/launcher" "$program" 755
    if [ ! -e "$root/etc/dnsmasq.conf" ]; then
        cp "$(beside dnsmasq.conf || echo /dev/null)" "$root/etc/dnsmasq.conf" ||
            fail "cannot write $root/etc/dnsmasq.conf"
        chmod 644 "$root/etc/dnsmasq.conf"
    fi
    mkdir -p "$root${leases%/*}" || fail "cannot make $root${leases%/*}"
}

# One that goes on from source when the system has got another Python.
launcher() {
    if file=$(beside openwrt/files/dnsmasq.launcher) && grep -q "$lib/source" "$file"; then
        echo "$file"
        return
    fi
    plain_launcher >"$work/plain" && echo "$work/plain"
}

# -- init systems --------------------------------------------------------------

# Links for a start by number, where no tool makes them.
link_runlevels() {
    if [ -f "$root/etc/init.d/rcS" ] && ! [ -d "$root/etc/rc2.d" ]; then
        link dnsmasq /etc/init.d/S80dnsmasq # as Buildroot starts what it has
        return
    fi
    for path in "$root"/etc/rc.d/rc[2-5].d "$root"/etc/rc[2-5].d; do
        [ ! -d "$path" ] || link ../init.d/dnsmasq "${path#"$root"}/S19dnsmasq"
    done
    for path in "$root"/etc/rc.d/rc[016].d "$root"/etc/rc[016].d; do
        [ ! -d "$path" ] || link ../init.d/dnsmasq "${path#"$root"}/K85dnsmasq"
    done
}

enable_sysv() {
    for path in "$root"/etc/rc*.d/S??dnsmasq "$root"/etc/rc.d/rc*.d/S??dnsmasq; do
        ! exists "$path" || return 0
    done
    for tool in 'update-rc.d dnsmasq defaults' 'chkconfig --add dnsmasq' 'insserv dnsmasq'; do
        if [ -z "$root" ] && command -v "${tool%% *}" >/dev/null; then
            note tool "${tool%% *}"
            $tool >/dev/null 2>&1 && return
        fi
    done
    link_runlevels
}

disable_sysv() {
    ! noted tool update-rc.d || update-rc.d -f dnsmasq remove >/dev/null 2>&1
    ! noted tool chkconfig || chkconfig --del dnsmasq >/dev/null 2>&1
    ! noted tool insserv || insserv -r dnsmasq >/dev/null 2>&1
    return 0
}

# What the init script of OpenWrt leans on, where dnsmasq has not left it.
install_openwrt() {
    for name in dhcp neigh ntp tftp; do make_dir /etc/hotplug.d/$name; done
    while read -r name mode target; do
        if file=$(beside "openwrt/files/$name") && { noted file "$target" || ! exists "$root$target"; }; then
            put "$file" "$target" "$mode"
        fi
    done <<END
dhcp-script.sh 755 /usr/lib/dnsmasq/dhcp-script.sh
dhcpbogushostname.conf 644 /usr/share/dnsmasq/dhcpbogushostname.conf
rfc6761.conf 644 /usr/share/dnsmasq/rfc6761.conf
trust-anchors.conf 644 /usr/share/dnsmasq/trust-anchors.conf
dnsmasq_acl.json 644 /usr/share/acl.d/dnsmasq_acl.json
dnsmasq.capabilities.json 644 /etc/capabilities/dnsmasq.json
25-dnsmasqsec 644 /etc/hotplug.d/ntp/25-dnsmasqsec
END
    if file=$(beside openwrt/files/dhcp.conf) && [ ! -e "$root/etc/config/dhcp" ]; then
        make_dir /etc/config
        cp "$file" "$root/etc/config/dhcp" || fail "cannot write $root/etc/config/dhcp"
    fi
}

install_service() {
    [ "$here" != "$root$lib" ] || return 0
    note init "$init"
    case $init in
        systemd)
            put "$(either dnsmasq plain_service)" "$lib/service" 755
            put "$(either dnsmasq.service plain_unit)" /etc/systemd/system/dnsmasq.service 644
            link ../dnsmasq.service /etc/systemd/system/multi-user.target.wants/dnsmasq.service
            [ -n "$root" ] || systemctl daemon-reload
            ;;
        openrc)
            put "$(either dnsmasq.openrc plain_openrc)" /etc/init.d/dnsmasq 755
            link /etc/init.d/dnsmasq /etc/runlevels/default/dnsmasq
            ;;
        procd)
            if file=$(beside init.d/dnsmasq.procd) || [ ! -e "$root/etc/init.d/dnsmasq" ]; then
                put "${file:-$(either none plain_service)}" /etc/init.d/dnsmasq 755
                install_openwrt
            else
                say "the init script that is there stays; its jail must let Python in"
            fi
            link ../init.d/dnsmasq /etc/rc.d/S19dnsmasq
            ;;
        sysv)
            put "$(either dnsmasq plain_service)" /etc/init.d/dnsmasq 755
            enable_sysv
            ;;
        *)
            put "$(either dnsmasq plain_service)" "$lib/service" 755
            say "no init system is known here: where yours starts programs, add the line
  $lib/service start"
            ;;
    esac
}

# Start, stop or ask the service, whoever's it is at the moment.
control() {
    case $init in
        systemd) systemctl "$1" dnsmasq ;;
        openrc) rc-service --ifexists dnsmasq "$1" ;;
        none) ! [ -x "$lib/service" ] || "$lib/service" "$1" ;;
        *) ! [ -x /etc/init.d/dnsmasq ] || /etc/init.d/dnsmasq "$1" ;;
    esac
}

# Whether a server runs as this service.
runs() {
    case $init in
        systemd) systemctl -q is-active dnsmasq ;;
        *) exists "$program" && pidof dnsmasq >/dev/null 2>&1 ;;
    esac
}

# -- there and back ------------------------------------------------------------

take_away() {
    [ -f "$manifest" ] || fail "there is nothing to undo: no $manifest"
    init=$(sed -n 's/^init //p' "$manifest" | tail -n 1)
    if [ -z "$root" ]; then control stop >/dev/null 2>&1; fi
    disable_sysv
    # Files first, then what was there, the last first.
    { grep '^file ' "$manifest"; grep -v '^file ' "$manifest" | sed '1!G;h;$!d'; } >"$work/manifest"
    left=''
    while read -r what path rest; do
        case $what in
            file) ! ours "$path" || rm -f "$root$path" ;;
            kept)
                exists "$root$lib/kept$path" || continue
                if exists "$root$path"; then
                    left=yes
                    say "$path was written by somebody else since; the old one stays in $lib/kept"
                else
                    mv "$root$lib/kept$path" "$root$path" || fail "cannot put $root$path back"
                fi
                ;;
            diverted) dpkg-divert --quiet --local --rename --remove "$path" ;;
            line)
                grep -vxF -e "$rest" "$root$path" >"$work/lines"
                cat "$work/lines" >"$root$path"
                ;;
            dir) rmdir "$root$path" 2>/dev/null ;;
            *) ;;
        esac
    done <"$work/manifest"
    if grep -q '^line /etc/passwd' "$work/manifest"; then
        for path in "$root$leases" "$root$leases".*; do
            [ ! -e "$path" ] || chown -h 0 "$path" 2>/dev/null
        done
    fi
    [ -s "$root$leases.copy" ] || rm -f "$root$leases.copy"
    [ -n "$left" ] || rm -rf "$root$lib/kept"
    rm -rf "$root$lib/source/__pycache__"
    rm -f "$manifest"
    rmdir "$root$lib/source" "$root$lib" 2>/dev/null
    [ -n "$root" ] || [ "$init" != systemd ] || systemctl daemon-reload
    if [ -n "$start" ] && grep -qx running "$work/manifest"; then control start; fi
    say "taken away; the configuration and the leases are still there"
}

# Refuse to take over with a configuration that the server would not accept.
check_configuration() {
    if [ -n "$root" ] || [ ! -e /etc/dnsmasq.conf ]; then return; fi
    set -- --test
    [ ! -d /etc/dnsmasq.d ] || set -- "$@" -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new
    "$compiler" "$source" "$@" >"$work/error" 2>&1 || fail "the configuration has errors, nothing was changed:
$(cat "$work/error")"
    if [ "$init" = systemd ] && grep -qs '^dhcp-script=' /etc/dnsmasq.conf; then
        say "the dhcp-script will not be root: see the head of dnsmasq.service"
    fi
}

set_up() {
    source=$(beside pydnsmasq.py) || source=$(first "$here/source/pydnsmasq.py") ||
        fail "there is no pydnsmasq.py beside this script or in the directory above"
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "only root can install; --root DIR is for everybody"
    find_python
    case ${init:=$(find_init)} in
        systemd | openrc | procd | sysv | none) ;;
        *) fail "there is no kind of init '$init'" ;;
    esac
    check_configuration
    compile
    first_time=''
    [ -f "$manifest" ] || first_time=yes
    if ! mkdir -p "$root$lib" 2>"$work/error" || ! : 2>"$work/error" >>"$manifest"; then
        fail "cannot write in $root$lib: $(cat "$work/error")
  If the system is mounted read-only: mount -o remount,rw /
  If it is an image: install into its tree, with --root DIR, and build it again."
    fi
    if [ -z "$root" ] && runs; then
        [ -z "$first_time" ] || note running
        [ -z "$start" ] || control stop || say "the running server could not be stopped"
    fi
    make_account
    install_program
    install_service
    say "installed$([ -z "$root" ] || echo " in $root"), for $python and $init"
    [ -n "$start" ] || return 0
    control start && return
    if noted running && [ -n "$first_time" ]; then
        say "it does not start: the server that was there comes back" >&2
        take_away
    else
        say "it does not start.  To go back: sh $lib/install.sh --undo" >&2
    fi
    if [ "$init" = systemd ] && systemctl -q is-active systemd-resolved; then
        say "systemd-resolved has port 53 of 127.0.0.53: the line bind-dynamic in
  /etc/dnsmasq.conf leaves that address to it" >&2
    fi
    return 1
}

umask 022
work=${TMPDIR:-/tmp}/pydnsmasq-install.$$
mkdir -m 700 "$work" || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
if [ -n "$undo" ]; then
    take_away
else
    set_up
fi
