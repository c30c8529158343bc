"""The OpenWrt package: what it installs is built, measured, and run with a busybox and Python's light modules alone."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import pydnsmasq as p
from harness import OURS_KIND, PROGRAM, ROOT, TESTS, free_port, need, need_tool, wait_until
from netkit import DhcpClient, Namespaces

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own package")

OPENWRT = ROOT / "openwrt"
COMPILE = OPENWRT / "compile.py"
LAUNCHER = OPENWRT / "files" / "dnsmasq.launcher"
LIBRARY = pathlib.Path("usr/lib/pydnsmasq")
FLASH_MAX = 220 * 1024  # octets that the package may take of a router's flash

# -- the Pythons -------------------------------------------------------------------


@functools.cache
def python_of(minor: int) -> str:
    """The path of a Python 3.`minor`, or "" when there is none."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    candidates = [*root.glob(f"versions/3.{minor}.*/bin/python3"), shutil.which(f"python3.{minor}"), sys.executable]
    for candidate in filter(None, candidates):
        code = "import sys; print(sys.version_info[1], sys._base_executable)"
        done = subprocess.run([str(candidate), "-c", code], capture_output=True, text=True, check=False)
        found, _, path = done.stdout.strip().partition(" ")
        if found == str(minor):
            return path
    return ""


# Those of OpenWrt 22.03, of 23.05 and 24.10, of 25.12, and the next.
MINORS = [minor for minor in (10, 11, 13, 14) if minor == 11 or python_of(minor)]


def need_python(minor: int) -> str:
    need(python_of(minor), f"Python 3.{minor}")
    return python_of(minor)


# -- the package is built ----------------------------------------------------------

# What OpenWrt's build system gives to a package's Makefile, as far as ours asks for it.
BUILD_SYSTEM = {
    "rules.mk": """\
INCLUDE_DIR:=$(TOPDIR)/include
CP:=cp -fpR
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
""",
    "feeds/packages/lang/python/python3-host.mk": "HOST_PYTHON3_BIN:=$(PYTHON)\n",
    "include/package.mk": """\
PKG_BUILD_DIR:=$(TOPDIR)/build/$(PKG_NAME)-$(PKG_VERSION)
define BuildPackage
  $(eval $(Package/$(1)))
  $(foreach name,DEPENDS CONFLICTS PROVIDES USERID PKG_VERSION PKG_FILE_DEPENDS Package/$(1)/conffiles,\\
    $(info $(name)=$(strip $($(name)))))
  install:
	$(Build/Prepare)
	$(Build/Configure)
	$(Build/Compile)
	$(call Package/$(1)/install,$(TREE))
endef
""",
}


def make(top: pathlib.Path, *words: str) -> dict[str, str]:
    """Run the Makefile in a build system of its own; give what it says of the package."""
    need_tool("make")
    for name, text in BUILD_SYSTEM.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    done = subprocess.run(
        ["make", "-s", "-C", str(OPENWRT), f"TOPDIR={top}", f"PYDNSMASQ_PROGRAM={PROGRAM}", *words],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line.strip().partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in lines}


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], pathlib.Path]:
    """Give the tree that the package for a Python installs."""

    @functools.cache
    def built(minor: int) -> pathlib.Path:
        top = tmp_path_factory.mktemp(f"p{minor}")
        make(top, f"PYTHON={need_python(minor)}", f"TREE={top}/tree", "install")
        return top / "tree"

    return built


INSTALLED = """\
644 etc/capabilities/dnsmasq.json
600 etc/config/dhcp
644 etc/dnsmasq.conf
755 etc/hotplug.d/dhcp/
755 etc/hotplug.d/neigh/
644 etc/hotplug.d/ntp/25-dnsmasqsec
755 etc/hotplug.d/tftp/
755 etc/init.d/dnsmasq
755 usr/lib/dnsmasq/dhcp-script.sh
644 usr/lib/pydnsmasq/pydnsmasq.pyc
644 usr/lib/pydnsmasq/version
755 usr/sbin/dnsmasq
644 usr/share/acl.d/dnsmasq_acl.json
644 usr/share/dnsmasq/dhcpbogushostname.conf
644 usr/share/dnsmasq/rfc6761.conf
644 usr/share/dnsmasq/trust-anchors.conf
"""


def test_what_is_installed(package: Callable[[int], pathlib.Path]) -> None:
    tree = package(11)
    lines = []
    for path in sorted(tree.rglob("*")):
        if path.is_file() or not any(path.iterdir()):
            lines.append(f"{path.stat().st_mode & 0o777:o} {path.relative_to(tree)}{'/' * path.is_dir()}")
    assert "\n".join(lines) + "\n" == INSTALLED
    for name in ("etc/capabilities/dnsmasq.json", "usr/share/acl.d/dnsmasq_acl.json"):
        json.loads((tree / name).read_text())


@pytest.mark.parametrize(
    ("pack", "provides"),
    [("", "dnsmasq"), ("define SanitizeProvides\nendef\n", "dnsmasq @dnsmasq-any")],
    ids=["opkg", "apk"],
)
def test_what_the_package_says(tmp_path: pathlib.Path, pack: str, provides: str) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "package-pack.mk").write_text(pack)
    facts = make(tmp_path, "-n", "install")
    assert facts["PROVIDES"] == provides
    assert facts["CONFLICTS"] == "dnsmasq dnsmasq-dhcpv6 dnsmasq-full"
    assert (facts["DEPENDS"], facts["USERID"]) == ("+python3-light", "dnsmasq=453:dnsmasq=453")
    assert facts["PKG_VERSION"] == p.VERSION
    assert facts["Package/pydnsmasq/conffiles"].split() == ["/etc/config/dhcp", "/etc/dnsmasq.conf", "/etc/dnsmasq.d/"]
    assert all(pathlib.Path(name).exists() for name in facts["PKG_FILE_DEPENDS"].split())


# -- the module is compiled --------------------------------------------------------


def compile_with(python: str, source: pathlib.Path, *words: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-W", "error", str(COMPILE), str(source), *words],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip


def test_the_program_keeps_what_the_compiler_counts_on() -> None:
    """Asserts only look, and nothing reads docstrings or annotations, other than those of classes."""
    tree = ast.parse(PROGRAM.read_text())
    harmless = (ast.Name, ast.Attribute, ast.Compare, ast.Constant, ast.expr_context, ast.cmpop)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            assert all(isinstance(part, harmless) for part in ast.walk(node.test)), f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("__doc__", "__qualname__", "f_locals"), f"line {node.lineno}"
            if node.attr == "__annotations__":
                assert isinstance(node.value, ast.Name) and (node.value.id == "cls" or node.value.id[0].isupper())


def test_each_build_is_the_same(package: Callable[[int], pathlib.Path], tmp_path: pathlib.Path) -> None:
    assert compile_with(need_python(MINORS[0]), PROGRAM, str(tmp_path)).returncode == 0
    built = package(MINORS[0]) / LIBRARY
    assert (tmp_path / "pydnsmasq.pyc").read_bytes() == (built / "pydnsmasq.pyc").read_bytes()
    assert (built / "version").read_text() == p.version_text()


# Programs and what they print: it is the same before and after.
PROGRAMS = {
    "annotations": "def f(a: int, *, b: str = 'x') -> str:\n c: int = 2\n d: int\n return b * c * a\nprint(f(2))",
    "fields": "class A:\n a: int\n b: str = 'x'\nprint(list(A.__annotations__), A.b)",
    "asserts": "def f(a):\n '''It is.'''\n assert a\n return a\nprint(f(1), __debug__ or f(0))",
    "constants": "A = 5\nB, C = A << 2, b'x'\ndef f(): return A, B, C, LATE\nLATE = 'z'\nprint(f())",
    "a constant that changes": "A = 1\ndef f():\n global A\n A += 1\nf()\nprint(A)",
    "a constant with a local twin": "A = 1\ndef f(A): return A\ndef g():\n A = 3\n return A\nprint(f(2), g(), A)",
    "a constant that a text names": "A = 1\n__all__ = ['A']\nimport sys\nprint(getattr(sys.modules[__name__], 'A'))",
    "functions": "def f(x): return g(x) + T[0]\ndef g(x): return x\nT = [1]\nclass A:\n def g(self): return f(1)\n"
    "def h(): return h.__module__\nU, V = [2], 3\nprint(f(2), A().g(), h(), U, V)",
    "a function with a local twin": "def f(): return 1\ndef g(f): return f\ndef h(f=2): return f\nprint(f(), g(3))",
    "what is no constant": "A = []\nB = len('x')\nA.append(B)\ndef f(): return A, B\nprint(f())",
    "a branch for type checkers": "T = False\nif T:\n import nothing\nelse:\n x = 1\nprint(x)",
    "names in calls": "def f(first, second=2, *rest, third=3, **more): return first, second, rest, third, more\n"
    "print(f(1, third=4), f(first=1, second=3, other=5), (lambda first, x: x)(1, 2))",
    "closures": "def f(outer):\n inner = 1\n def g(word):\n  nonlocal inner\n  inner += word + outer\n  return inner\n"
    " a = g(2)\n return [a + inner for _ in range(2)], {x: outer for x in 'ab'}\nprint(f(3))",
    "classes": "class A:\n def __init__(self, v): self.v = v\n def m(self): return self.v\n"
    "class B(A):\n def __init__(self, v):\n  super().__init__(v)\n  self.w = [v, 1]\nb = B(3)\nprint(b.m(), b.w)",
    "generators": "def f(n):\n for i in range(n):\n  got = yield i\n  if got: return got\ng = f(3)\n"
    "print(next(g), list(g), sum(x * y for x in (1, 2) for y in (3, 4)))",
    "errors": "def f(value):\n try:\n  return 1 // value\n except ZeroDivisionError as error:\n"
    "  return type(error).__name__, error.__traceback__ is not None\n finally:\n  print('end')\nprint(f(0), f(1))",
}
VERSION = "\ndef version_text():\n return 'none'\n"


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("minor", MINORS)
def test_a_compiled_program_does_the_same(minor: int, text: str, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("from __future__ import annotations\n" + text + VERSION)
    done = compile_with(need_python(minor), source, str(tmp_path))
    assert done.returncode == 0, done.stderr
    before, after = (
        subprocess.run([python_of(minor), *words, str(tmp_path / file)], capture_output=True, text=True, check=False)
        for words, file in (([], "source.py"), (["-O"], "pydnsmasq.pyc"))
    )
    expected = before.stdout.replace("True\n", "0\n") if "__debug__" in text else before.stdout
    assert (after.stdout, after.returncode, before.stderr + after.stderr) == (expected, 0, "")


def test_a_program_that_looks_at_variables_by_name_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "source.py").write_text("def f():\n    long = 1\n    return locals()\n" + VERSION)
    done = compile_with(need_python(11), tmp_path / "source.py", str(tmp_path))
    assert done.returncode == 1 and done.stderr.startswith("line 3: locals may look at variables")


@pytest.mark.parametrize("minor", MINORS)
def test_a_place_in_the_log_is_found_again(package: Callable[[int], pathlib.Path], minor: int) -> None:
    code = (
        "import sys; sys.path[0] = sys.argv[1]; import pydnsmasq as p\n"
        "log = p.Log(); log.sinks = [lambda stamp, lines: print(*(line[2] for line in lines))]\n"
        "try: p.Complaints(1).due([], 0)\n"
        "except TypeError as error: log.failure('here', error); log.flush()"
    )
    words = [need_python(minor), "-c", code, str(package(minor) / LIBRARY)]
    logged = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    place = re.match(r"internal error in here at (\d+\+\d+): TypeError: unhashable type: 'list'", logged)
    assert place, logged
    line = 1 + PROGRAM.read_text().splitlines().index("        seen = self._seen.get(key)")
    assert compile_with(python_of(minor), PROGRAM, place[1]).stdout == f"line {line}\n"


def test_a_place_that_is_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "source.py").write_text("A = 1\n" + VERSION)
    assert compile_with(need_python(11), tmp_path / "source.py", "9+9").stdout == "no such place\n"


# -- the launcher ------------------------------------------------------------------


@pytest.fixture
def launch(tmp_path: pathlib.Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the launcher, installed beside modules with the texts given."""
    program = tmp_path / "sbin" / "dnsmasq"
    program.parent.mkdir()
    python = need_python(11)
    program.write_text(LAUNCHER.read_text().replace("/usr/bin/python3", python, 1))
    program.chmod(0o755)
    (tmp_path / "lib" / "pydnsmasq" / "source").mkdir(parents=True)

    def run(files: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / "lib" / "pydnsmasq" / name).write_text(text)
        return subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, check=False, timeout=20,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    return run


KILL = "import os, signal\nfor name in '{}'.split(): os.kill(os.getpid(), getattr(signal, 'SIG' + name))\n"
MAIN = "import sys\ndef main(arguments):\n print('main', *arguments)\n return 7\n"
NAMES = """
def main(arguments):
    print(open("/proc/self/comm").read().strip())
    print(ascii(open("/proc/self/cmdline", "rb").read().rstrip(b"\\0").split(b"\\0")[1:]))
    print(ascii(open("/proc/self/cmdline", "rb").read().split(b"/")[-1].split(b"\\0")[0]))
"""
LAUNCHES: dict[str, tuple[dict[str, str], list[str], int, str, str]] = {
    "main": ({"pydnsmasq.py": MAIN}, ["-k", ""], 7, "main -k \n", ""),
    "version": ({"version": "9\n", "pydnsmasq.py": "1 / 0"}, ["--version"], 0, "9\n", ""),
    "v": ({"version": "9\n", "pydnsmasq.py": "1 / 0"}, ["-v"], 0, "9\n", ""),
    "version and more": ({"version": "9\n", "pydnsmasq.py": MAIN}, ["-v", "-k"], 7, "main -v -k\n", ""),
    "no version file": ({"pydnsmasq.py": MAIN}, ["-v"], 7, "main -v\n", ""),
    "signals": ({"pydnsmasq.py": KILL.format("HUP INT USR1 USR2") + MAIN}, [], 7, "main\n", ""),
    "TERM": ({"pydnsmasq.py": KILL.format("TERM") + MAIN}, [], 5, "", ""),
    "another Python's": (
        {"pydnsmasq.pyc": "x" * 64}, [], 5, "",
        "dnsmasq: $LIB/pydnsmasq.pyc is not for Python 3.11: install the pydnsmasq that was made for it\n",
    ),
    "another Python's, and the source": (
        {"pydnsmasq.pyc": "x" * 64, "source/pydnsmasq.py": MAIN}, ["-d"], 7, "main -d\n", ""
    ),
    "nothing": (
        {}, [], 5, "",
        "dnsmasq: cannot start: No module named 'pydnsmasq'; is all of pydnsmasq and of python3-light installed?\n",
    ),
    "a part of the library": (
        {"pydnsmasq.py": "import nowhere"}, [], 5, "",
        "dnsmasq: cannot start: No module named 'nowhere'; is all of pydnsmasq and of python3-light installed?\n",
    ),
    "names": (
        {"pydnsmasq.py": NAMES}, ["-k", "", "--x=\xe4"], 0,
        "dnsmasq\n[b'-k', b'', b'--x=\\xc3\\xa4']\nb'dnsmasq'\n", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "arguments", "code", "output", "error"), LAUNCHES.values(), ids=LAUNCHES)
def test_the_launcher(
    launch: Callable[..., subprocess.CompletedProcess[str]], tmp_path: pathlib.Path, files: dict[str, str],
    arguments: list[str], code: int, output: str, error: str,
) -> None:  # fmt: skip
    done = launch(files, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (
        code,
        output,
        error.replace("$LIB", f"{tmp_path}/lib/pydnsmasq"),
    )


# -- the size ----------------------------------------------------------------------

# What OpenWrt gives to mksquashfs: -b 256K -comp xz -Xpreset 9 -Xe -Xlc 0 -Xlp 2 -Xpb 2.
BLOCK = 256 * 1024
OPENWRT_XZ = {
    "id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2, "pb": 2, "dict_size": BLOCK
}  # fmt: skip
INODE = 64  # octets for a file or a directory with its name and its place; they are compressed, and so less


def squashfs_size(tree: pathlib.Path) -> int:
    """Octets that the files add to an image: whole blocks of each, and the ends of all in common blocks."""
    paths = sorted(tree.rglob("*"))
    files = [path.read_bytes() for path in paths if path.is_file()]
    blocks = [data[at : at + BLOCK] for data in files for at in range(0, len(data) - BLOCK + 1, BLOCK)]
    ends = b"".join(data[len(data) // BLOCK * BLOCK :] for data in files)
    blocks += [ends[at : at + BLOCK] for at in range(0, len(ends), BLOCK)]
    packed = (lzma.compress(block, check=lzma.CHECK_CRC32, filters=[OPENWRT_XZ]) for block in blocks)
    return sum(map(len, packed)) + INODE * len(paths)


@pytest.mark.parametrize("minor", MINORS)
def test_the_package_fits_the_flash(package: Callable[[int], pathlib.Path], minor: int) -> None:
    size = squashfs_size(package(minor))
    assert 100_000 < size <= FLASH_MAX, f"{size} octets, {size - FLASH_MAX} too many"


# -- a router ----------------------------------------------------------------------

LIGHT = set((TESTS / "data" / "python3-light-modules.txt").read_text().split())
# Of the light package too, each in some releases only.
LIGHT |= {"_sha256", "_sha512", "_sha2"}
PYTHON_FACTS = """
import json, sys, sysconfig
print(json.dumps([sys.executable, sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED"),
    sys.implementation.cache_tag, "%d.%d" % sys.version_info[:2]]))
"""


def copy(source: pathlib.Path | str, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def copy_program(program: str, target: pathlib.Path, root: pathlib.Path) -> None:
    """Copy a program or an extension module, and the libraries that it needs to where it looks for them."""
    copy(program, target)
    needs = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(?:=> |^\s*)(/\S+)", needs, re.M):
        if not (root / path[1:]).exists():
            copy(path, root / path[1:])


def light_python(python: str, root: pathlib.Path) -> None:
    """Install an interpreter with the library of python3-light, compiled and without its source, as OpenWrt does.

    Debian has some C modules in the interpreter itself; these cannot be left out.
    """
    facts = subprocess.run([python, "-I", "-c", PYTHON_FACTS], capture_output=True, text=True, check=True).stdout
    executable, library, extensions, tag, version = json.loads(facts)
    copy_program(executable, root / "usr/bin" / f"python{version}", root)
    (root / "usr/bin/python3").symlink_to(f"python{version}")
    target = root / "usr/lib" / f"python{version}"
    for directory, inner, files in os.walk(library):
        place = pathlib.Path(directory).relative_to(library)
        inner[:] = [name for name in inner if (place / name).parts[0] in LIGHT and name not in ("test", "__pycache__")]
        for name in (file[:-3] for file in files if file.endswith(".py")):
            if (place / name).parts[0] in LIGHT:
                compiled = pathlib.Path(directory, "__pycache__", f"{name}.{tag}.pyc")
                found = compiled if compiled.exists() else pathlib.Path(directory, f"{name}.py")
                copy(found, target / place / f"{name}{found.suffix}")
    for path in pathlib.Path(extensions).glob("*.so"):
        if path.name.partition(".")[0] in LIGHT:
            copy_program(str(path), target / "lib-dynload" / path.name, root)


APPLETS = "sh cat chmod env grep kill ls mkdir mv nslookup pidof ps rm sleep touch".split()
CONFIG = "var/etc/dnsmasq.conf.cfg01411c"
PID_FILE = "/var/run/dnsmasq/dnsmasq.cfg01411c.pid"
COMMAND = f"/usr/sbin/dnsmasq -C /{CONFIG} -k -x {PID_FILE}".split()
USER_SCRIPT = "/etc/user-script"
ROUTER_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndnsmasq:x:453:453:dnsmasq:/var/run/dnsmasq:/bin/false\n",
    "etc/group": "root:x:0:\ndnsmasq:x:453:dnsmasq\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "tmp/resolv.conf.d/resolv.conf.auto": "",
    "tmp/hosts/dhcp.cfg01411c": "10.77.1.1 OpenWrt\n10.77.1.7 printer\n",
    "tmp/dnsmasq.cfg01411c.d/keep": "",
    "var/run/dnsmasq/keep": "",
    # As the default configuration makes it.
    CONFIG: """\
# auto-generated config file from /etc/config/dhcp
conf-file=/etc/dnsmasq.conf
dhcp-authoritative
domain-needed
localise-queries
read-ethers
enable-ubus=dnsmasq
expand-hosts
bind-dynamic
local-service
cache-size=1000
edns-packet-max=1232
domain=lan
local=/lan/
addn-hosts=/tmp/hosts
dhcp-leasefile=/tmp/dhcp.leases
dhcp-script=/usr/lib/dnsmasq/dhcp-script.sh
script-arp
resolv-file=/tmp/resolv.conf.d/resolv.conf.auto
stop-dns-rebind
rebind-localhost-ok
dhcp-broadcast=tag:needs-broadcast
conf-dir=/tmp/dnsmasq.cfg01411c.d
user=dnsmasq
group=dnsmasq


dhcp-ignore-names=tag:dhcp_bogus_hostname
conf-file=/usr/share/dnsmasq/dhcpbogushostname.conf


bogus-priv
conf-file=/usr/share/dnsmasq/rfc6761.conf
dhcp-range=set:lan,10.77.1.100,10.77.1.249,255.255.255.0,12h
no-dhcp-interface=eth9
""",
    # Leaves a process behind, which becomes a child of process 1.
    USER_SCRIPT[1:]: "exec 3>>/var/run/dnsmasq/seen\n(sleep 1; echo \"end $1\" >&3) &\necho \"$1 $3 $4\" >&3\n",
    # What OpenWrt's library for shell scripts does, as far as the script for leases needs it.
    "usr/share/libubox/jshn.sh": "json_init() { text=; }\njson_add_array() { :; }\njson_close_array() { :; }\n"
    "json_add_string() { text=\"$text $2\"; }\njson_dump() { echo \"$text\"; }\n",
    "bin/ubus": "#!/bin/sh\necho \"$@\" >>/var/run/dnsmasq/ubus\n",
}  # fmt: skip
DEVICES = ("null", "zero", "random", "urandom")
# As ujail does: the tree can only be read; what may be written is mounted into it, the leases as a single file.
JAIL = """
mount --make-rprivate / && cd $ROOT && mount --bind . . && cd $ROOT || exit
DEVICES
mount --bind var/run/dnsmasq var/run/dnsmasq && mount --bind $LEASES tmp/dhcp.leases || exit
mount -o remount,bind,ro . || exit
exec chroot . "$@"
"""
# Without a jail there is /proc.
OPEN = """
mount --make-rprivate / && cd $ROOT && mount -t proc none proc || exit
DEVICES
exec chroot . "$@"
"""


class Router(Namespaces):
    """A router on lan0 10.77.1.1/24 with the package, and a client on up0; the log is a socket in its /dev."""

    def __init__(self, directory: pathlib.Path, tree: pathlib.Path, python: str) -> None:
        super().__init__(directory, "owrt", "owrt-c")
        self.router, self.client = self.names
        self.root = directory / "root"
        self.leases = directory / "leases"
        shutil.copytree(tree, self.root)
        light_python(python, self.root)
        copy_program(shutil.which("busybox") or "", self.root / "bin/busybox", self.root)
        for name in APPLETS:
            (self.root / "bin" / name).symlink_to("busybox")
        for name, text in ROUTER_FILES.items():
            self.write(name, text)
        for name in ("bin/ubus", USER_SCRIPT[1:]):
            (self.root / name).chmod(0o755)
        os.chown(self.root / "var/run/dnsmasq", 453, 453)
        for name in ("proc", "tmp", "dev"):
            (self.root / name).mkdir(exist_ok=True)
        for name in DEVICES:
            self.write(f"dev/{name}", "")
        self.write("tmp/dhcp.leases", "")
        self.leases.write_text("")
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.bind(str(self.root / "dev/log"))
        (self.root / "dev/log").chmod(0o666)
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._take_log)
        self.reader.start()
        self.process: subprocess.Popen[str] | None = None

    def connect(self) -> None:
        self.link("lan0", self.router, "up0", self.client)
        self.ip(self.router, "addr add 10.77.1.1/24 dev lan0")

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                os.kill(self.pid(), signal.SIGKILL)
            self.process.kill()
            self.process.communicate()
        self.log.shutdown(socket.SHUT_RD)
        self.reader.join()
        self.log.close()
        super().close()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text() if path.exists() else ""

    def inside(self, how: str, *words: str) -> list[str]:
        """The words that run a command on the router."""
        devices = "; ".join(f"mount --bind /dev/{name} dev/{name} || exit" for name in DEVICES)
        script = how.replace("DEVICES", devices).replace("$ROOT", str(self.root)).replace("$LEASES", str(self.leases))
        own = ["ip", "netns", "exec", self.router, "unshare", "-m", "-p", "-f", "--kill-child"]
        return [*own, "sh", "-c", script, "sh", *words]

    def run_inside(self, how: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside(how, *words), capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        )  # fmt: skip

    def rights(self) -> list[str]:
        """The words that start a program as procd does with the package's file of capabilities."""
        sets = json.loads((self.root / "etc/capabilities/dnsmasq.json").read_text())
        names = {kind: ",".join(["-all", *(cap.replace("CAP_", "+").lower() for cap in sets[kind])]) for kind in sets}
        words = f"/bin/setpriv --reuid 453 --regid 453 --clear-groups --no-new-privs --bounding-set {names['bounding']}"
        return f"{words} --inh-caps {names['inheritable']} --ambient-caps {names['ambient']}".split()

    def start_process(self, how: str, *before: str) -> None:
        """Start the server as procd does."""
        self.process = subprocess.Popen(
            self.inside(how, *before, *COMMAND), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER_DHCPSCRIPT": USER_SCRIPT},
        )  # fmt: skip
        self.wait_log("DHCP, IP range")

    def _take_log(self) -> None:
        """Read the log at once: the kernel keeps few lines, and who writes more must wait."""
        while line := self.log.recv(65536):
            self.lines.append(line.decode())

    def logged(self) -> str:
        return "\n".join(self.lines)

    def wait_log(self, words: str) -> None:
        def found() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.communicate()[0]}; the log: {self.logged()}")
            return words in self.logged()

        wait_until(found, what=f"log line {words!r} in: {self.logged()}")

    def pid(self) -> int:
        """The number that process 1 of the router has outside."""
        assert self.process is not None
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid(), number)

    def answers(self, **names: str) -> None:
        """Wait until the client hears these addresses for names in lan."""
        for name, address in names.items():
            wait_until(lambda n=name, a=address: self.dig("10.77.1.1", f"{n}.lan") == [a], what=f"{name}: {address}")


@pytest.fixture(params=MINORS)
def router(
    request: pytest.FixtureRequest, package: Callable[[int], pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Router]:
    need(os.geteuid() == 0, "root")
    need_tool("busybox", "unshare", "chroot", "ip", "ldd", "udhcpc", "dig")
    minor = request.param
    made = Router(tmp_path_factory.mktemp("r"), package(minor), need_python(minor))
    try:
        made.setup()
        yield made
    finally:
        made.close()


def children(pid: int) -> dict[str, str]:
    """Names and states of the processes below one."""
    out = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition("(")[2].rpartition(") ")
            if rest.split()[1] == str(pid):
                out[f"{name} {path.parent.name}"] = rest.split()[0]
    return out


@pytest.mark.parametrize("as_root", [True, False], ids=["root", "capabilities"])
def test_a_router_with_a_jail(router: Router, as_root: bool) -> None:
    """As process 1 without /proc: answers, leases, reload, a script's orphans, a lease file that cannot be replaced."""
    if not as_root:
        need_tool("setpriv")
        copy_program(shutil.which("setpriv") or "", router.root / "bin/setpriv", router.root)
        os.chown(router.leases, 453, 453)
    router.start_process(JAIL, *([] if as_root else router.rights()))
    host_pid = router.pid()
    assert pathlib.Path(f"/proc/{host_pid}/comm").read_text() == "dnsmasq\n"
    status = pathlib.Path(f"/proc/{host_pid}/status").read_text()
    assert re.search(r"^NSpid:\t.*\t1$", status, re.M) and re.search(r"^Uid:\t453\t453", status, re.M)
    assert re.search(r"^CapEff:\t0+$" if as_root else r"^CapEff:\t0+3400$", status, re.M)
    assert router.read(PID_FILE[1:]) == "1\n" and "dnsmasq[1]: started, version" in router.logged()
    assert not list(pathlib.Path(f"/proc/{host_pid}/root/proc").iterdir())
    inode = router.leases.stat().st_ino

    client = DhcpClient(router, router.client, router.directory / "client", "udhcpc", name="laptop").start()
    try:
        event = client.bound()
        assert 100 <= int(event.address.removeprefix("10.77.1.")) <= 249 and (event.server, event.domain) == (
            "10.77.1.1",
            "lan",
        )
        router.answers(printer="10.77.1.7", laptop=event.address)
        assert re.fullmatch(rf"\d+ \S+ {event.address} laptop \S+\n", router.leases.read_text())
        assert router.leases.stat().st_ino == inode
        wait_until(lambda: "end add" in router.read("var/run/dnsmasq/seen"), what="the orphan's word")
        assert f"add {event.address} laptop\n" in router.read("var/run/dnsmasq/seen")
        wait_until(lambda: "hotplug.dhcp" in router.read("var/run/dnsmasq/ubus"), what="a call of ubus")
        wait_until(lambda: "Z" not in children(host_pid).values(), what=f"no zombies in {children(host_pid)}")

        router.write("tmp/hosts/dhcp.cfg01411c", "10.77.1.1 OpenWrt\n10.77.1.8 printer\n")
        router.write(CONFIG, ROUTER_FILES[CONFIG] + "address=/new.lan/10.77.1.9\n")
        router.kill(signal.SIGHUP)
        router.answers(printer="10.77.1.8", new="10.77.1.9", laptop=event.address)
        client.release()
        wait_until(lambda: router.leases.read_text() == "", what="the end of the lease")
    finally:
        client.stop()
    router.kill(signal.SIGTERM)
    assert router.process is not None
    output = router.process.communicate(timeout=10)[0]
    assert (router.process.returncode, output) == (0, "")
    assert "exiting on receipt of SIGTERM" in router.logged()


def test_a_router_without_a_jail(router: Router) -> None:
    """By a link, in the background, found by its name, and checked as the feed would."""
    script = f"""
dnsmasq --version >/var/run/dnsmasq/version
/usr/local/sbin/dnsmasq --test || exit 1
{" ".join(COMMAND).replace(" -k", "")} || exit 2
pid=$(cat {PID_FILE})
[ "$(pidof dnsmasq)" ] && [ "$(cat /proc/$pid/comm)" = dnsmasq ] || exit 3
grep -q '^/usr/sbin/dnsmasq' /proc/$pid/cmdline || exit 4
sh /test.sh pydnsmasq {p.VERSION} || exit 5
kill -HUP $pid && kill -TERM $pid || exit 6
while kill -0 $pid; do sleep 1; done 2>/dev/null
"""
    shutil.copy(OPENWRT / "test.sh", router.root / "test.sh")
    (router.root / "usr/local/sbin").mkdir(parents=True)
    (router.root / "usr/local/sbin/dnsmasq").symlink_to("/usr/sbin/dnsmasq")
    done = router.run_inside(OPEN, "/bin/sh", "-c", script, PORT=str(free_port()))
    assert done.returncode == 0, done.stdout + done.stderr + router.logged()
    assert router.read("var/run/dnsmasq/version") == p.version_text()
    assert done.stderr.startswith("dnsmasq: syntax check OK.\n") and "exiting on receipt of SIGTERM" in router.logged()


def test_what_a_router_says_of_another_python(router: Router) -> None:
    module = router.root / LIBRARY / "pydnsmasq.pyc"
    data = module.read_bytes()
    module.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    done = router.run_inside(JAIL, *COMMAND)
    problem = r"/usr/lib/pydnsmasq/pydnsmasq\.pyc is not for Python 3\.\d+: install the pydnsmasq that was made for it"
    assert done.returncode == 5 and re.fullmatch(rf"dnsmasq: {problem}\n", done.stderr)
    assert re.search(rf"<26>.* dnsmasq\[1\]: {problem}", router.logged())
    assert router.run_inside(JAIL, "/usr/sbin/dnsmasq", "--version").stdout == p.version_text()
