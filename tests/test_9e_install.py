"""Start files for plain Linux and the installer: a busybox machine, image trees, Debian, OpenRC, systemd."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import pydnsmasq as p
from harness import OURS_KIND, PROGRAM, ROOT, need, need_tool, wait_until
from test_94_files import PID_FILE, Machine

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own files")

INIT_D = ROOT / "init.d"
UNIT = INIT_D / "dnsmasq.service"
LIB = "/usr/lib/pydnsmasq"
# What is copied to a machine, and where from.
COPIES = {
    "pydnsmasq.py": PROGRAM,
    "dnsmasq.conf": ROOT / "dnsmasq.conf",
    "openwrt/compile.py": ROOT / "openwrt" / "compile.py",
    **{f"openwrt/files/{path.name}": path for path in (ROOT / "openwrt" / "files").iterdir()},
    **{f"init.d/{path.name}": path for path in INIT_D.iterdir()},
}
# Compiling takes a second then, not three.
NOT_SMALL = tuple(name for name in COPIES if name != "openwrt/compile.py")
TWO_FILES = ("pydnsmasq.py", "init.d/install.sh")
CAPABILITIES = ("net_admin", "net_raw", "net_bind_service")
DEFAULTS = "IGNORE_RESOLVCONF=yes\n"


def need_root() -> None:
    need(os.geteuid() == 0, "root")
    need_tool("unshare", "nsenter", "ip")
    need(pathlib.Path("/etc/debian_version").exists() and pathlib.Path("/usr/bin/python3").exists(), "Debian")
    new = subprocess.run(["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 10))"], check=False)
    need(not new.returncode, "a new enough /usr/bin/python3")


def bring(machine: Machine, *names: str) -> None:
    """Copy files of the repository to /run/source; without names all of them."""
    for name in names or COPIES:
        machine.run("mkdir", "-p", f"/run/source/{name.rpartition('/')[0]}")
        machine.copy(COPIES[name], f"/run/source/{name}")


def running(machine: Machine) -> str:
    """The process number of the server."""
    return machine.run("cat", PID_FILE).stdout.strip()


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def picture(tree: pathlib.Path) -> dict[str, Any]:
    """Every file of a tree: kind, mode, owner, and its bytes or the target of a link."""
    out: dict[str, Any] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        out[f"/{path.relative_to(tree)}"] = (stat.S_IFMT(status.st_mode), status.st_mode, status.st_uid, content)
    return out


# -- a machine with a busybox and Python -------------------------------------------

# Its busybox lacks some commands that Debian's has.
LACKING = {"cmp", "diff", "install", "mktemp", "find", "xargs", "awk", "realpath", "adduser", "addgroup"}


class Appliance(Machine):
    """A directory tree with a busybox and Python, entered by chroot; /run, /proc and /dev are its own."""

    DIRECTORIES = ()
    user = 0

    def __init__(self, tree: pathlib.Path) -> None:
        self.tree = tree
        for name in ("bin", "dev", "etc", "proc", "root", "run", "sbin", "tmp", "usr/bin", "usr/lib", "usr/sbin"):
            (tree / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", tree / "bin" / "busybox")
        for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
            if applet not in LACKING | {"busybox"}:
                (tree / "bin" / applet).symlink_to("busybox")
        python = pathlib.Path("/usr/bin/python3").resolve()
        shutil.copy(python, tree / "usr" / "bin" / "python3")
        for name, text in {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}.items():
            (tree / "etc" / name).write_text(text)
        (tree / "etc" / "shadow").write_text("root:*:0:0:99999:7:::\n")
        (tree / "lib").symlink_to("usr/lib")
        mounts = [f"mount -t {kind} none {tree}/{where}" for kind, where in (("tmpfs", "run"), ("proc", "proc"))]
        mounts.append(f"mount --bind /dev {tree}/dev")
        for source in (f"/usr/lib/{python.name}", *map(str, pathlib.Path("/usr/lib").glob("*-linux-gnu*")), "/lib64"):
            if os.path.isdir(source):
                (tree / source.lstrip("/")).mkdir(parents=True)
                mounts += [f"mount --bind {source} {tree}{source}", f"mount -o remount,ro,bind {tree}{source}"]
        self.MORE = "\n".join((*mounts, ""))
        super().__init__()
        self.run("rm", "-r", "/run/source", "/etc/dnsmasq.d")

    def run(self, *words: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        user = f"--userspec={self.user}:{self.user}"
        return super().run("chroot", user, str(self.tree), *words, text=text, check=check)

    def outside(self, command: str) -> None:
        """Run a command of the real system in the same namespaces."""
        super().run("sh", "-c", command)

    def install(self, *words: str, check: bool = True) -> str:
        done = self.run("sh", "-c", 'cd /run/source && sh init.d/install.sh "$@"', "sh", *words, check=False)
        assert not check or done.returncode == 0, done.stdout
        return f"{done.returncode}: {done.stdout}"

    def undo(self) -> str:
        return self.run("sh", f"{LIB}/install.sh", "--undo").stdout

    def picture(self) -> dict[str, Any]:
        return picture(self.tree)


@pytest.fixture
def appliance(tmp_path: pathlib.Path) -> Iterator[Appliance]:
    need_root()
    need_tool("busybox")
    made = Appliance(tmp_path / "tree")
    yield made
    made.close()


CONF = "no-resolv\nno-hosts\nhost-record=rec.test,10.1.2.3\n"
STAYS = ["/etc/dnsmasq.conf", "/var", "/var/lib", "/var/lib/misc"]


def test_a_machine_with_nothing_but_python(appliance: Appliance) -> None:
    """Copied, installed, asked, installed once more, undone: only configuration and leases are left."""
    bring(appliance)
    before = appliance.picture()
    text = appliance.install()
    assert "add the line\n  /usr/lib/pydnsmasq/service start" in text
    assert appliance.run("dnsmasq", "--version").stdout == p.version_text()
    assert appliance.run("pidof", "dnsmasq").stdout.strip() == running(appliance)
    assert re.search(r"^Uid:\s453\s453\s", appliance.run("cat", f"/proc/{running(appliance)}/status").stdout, re.M)
    appliance.write("/etc/dnsmasq.conf", CONF)
    assert appliance.run(f"{LIB}/service", "restart").returncode == 0
    assert appliance.ask("rec.test") == "10.1.2.3"
    for name in ("pydnsmasq.pyc", "source/pydnsmasq.py", "version", "install.sh", "compile.py"):
        assert (appliance.tree / LIB.lstrip("/") / name).is_file(), name

    first, server = appliance.picture(), running(appliance)
    appliance.install()
    assert changed(first, appliance.picture()) == []
    assert running(appliance) != server and appliance.ask("rec.test") == "10.1.2.3"

    (appliance.tree / "var/lib/misc/dnsmasq.leases").write_text("")
    text = appliance.undo()
    assert "the configuration and the leases are still there" in text
    assert changed(before, appliance.picture()) == [*STAYS, "/var/lib/misc/dnsmasq.leases"]
    assert appliance.ask("rec.test") == "silence"
    assert appliance.run("sh", "/run/source/init.d/install.sh", "--undo", check=False).returncode == 1


def test_two_files_are_enough(appliance: Appliance) -> None:
    """Started at boot the way of Buildroot; another Python later costs time, not the service."""
    bring(appliance, *TWO_FILES)
    appliance.run("sh", "-c", "mkdir /etc/init.d && : >/etc/init.d/rcS && mv /run/source/init.d/install.sh /run/source")
    appliance.write("/etc/dnsmasq.conf", CONF)
    before = appliance.picture()
    appliance.run("sh", "/run/source/install.sh", "--no-start")
    assert appliance.ask("rec.test") == "silence"

    def service(action: str) -> int:
        return appliance.run("/etc/init.d/S80dnsmasq", action, check=False).returncode

    assert service("status") != 0
    assert service("start") == 0 and appliance.ask("rec.test") == "10.1.2.3" and service("status") == 0
    appliance.write("/etc/dnsmasq.conf", CONF.replace("10.1.2.3", "10.1.2.4"))
    assert service("reload") == 0
    wait_until(lambda: appliance.ask("rec.test") == "10.1.2.4", 5, "the reload")
    appliance.write("/etc/dnsmasq.conf", "nonsense\n")
    assert service("restart") != 0 and appliance.ask("rec.test") == "10.1.2.4"
    appliance.write("/etc/dnsmasq.conf", CONF)
    module = appliance.tree / LIB.lstrip("/") / "pydnsmasq.pyc"
    module.write_bytes(b"\0\0\r\n" + module.read_bytes()[4:])
    assert service("restart") == 0 and appliance.ask("rec.test") == "10.1.2.3"
    # The installed copy compiles again, and leaves the rest as it is.
    other = appliance.picture()
    appliance.run("sh", f"{LIB}/install.sh")
    assert changed(other, appliance.picture()) == [f"{LIB}/pydnsmasq.pyc"]
    assert module.read_bytes()[:4] != b"\0\0\r\n"
    assert appliance.ask("rec.test") == "10.1.2.3"
    assert service("stop") == 0 and appliance.ask("rec.test") == "silence"
    appliance.undo()
    assert set(changed(before, appliance.picture())) <= {*STAYS, "/var/lib/misc/dnsmasq.leases"}


OLD_PROGRAM = "#!/bin/sh\nwhile :; do sleep 1; done\n"
OLD_INIT = """#!/bin/sh
# the init script of another dnsmasq
case $1 in
start) setsid /usr/sbin/dnsmasq </dev/null >/dev/null 2>&1 & echo $! >/run/old.pid ;;
stop) kill $(cat /run/old.pid) && rm /run/old.pid ;;
esac
"""


def old_server(appliance: Appliance, *names: str) -> dict[str, Any]:
    """Put another dnsmasq on the machine and start it; gives the picture of that."""
    bring(appliance, *names)
    appliance.run("mkdir", "/etc/init.d", "/etc/rc2.d")
    for path, text in {"/usr/sbin/dnsmasq": OLD_PROGRAM, "/etc/init.d/dnsmasq": OLD_INIT}.items():
        appliance.write(path, text)
        appliance.run("chmod", "750", path)
    appliance.run("ln", "-s", "../init.d/dnsmasq", "/etc/rc2.d/S15dnsmasq")
    appliance.write("/etc/dnsmasq.conf", CONF)
    appliance.run("/etc/init.d/dnsmasq", "start")
    return appliance.picture()


def test_what_was_there_comes_back(appliance: Appliance) -> None:
    """Program and init script are kept aside, byte for byte; the old server stops, and runs again after the undo."""
    before = old_server(appliance, *NOT_SMALL)
    old = appliance.run("cat", "/run/old.pid").stdout.strip()
    text = appliance.install()
    assert f"/usr/sbin/dnsmasq is kept as {LIB}/kept/usr/sbin/dnsmasq" in text
    assert not (appliance.tree / "etc/rc2.d/S19dnsmasq").is_symlink(), "it was enabled already"
    assert appliance.ask("rec.test") == "10.1.2.3"
    assert appliance.run("kill", "-0", old, check=False).returncode
    appliance.install()  # an upgrade keeps what was kept
    appliance.undo()
    assert set(changed(before, appliance.picture())) <= {*STAYS, "/var/lib/misc/dnsmasq.leases"}
    old = appliance.run("cat", "/run/old.pid").stdout.strip()
    assert appliance.run("pidof", "dnsmasq").stdout.split() == [old]


def test_a_server_that_does_not_start_gives_way(appliance: Appliance) -> None:
    before = old_server(appliance, *TWO_FILES)
    appliance.write("/etc/dnsmasq.conf", "dhcp-range=10.9.9.9,10.9.9.10\ndhcp-leasefile=/nowhere/leases\n")
    text = appliance.install(check=False)
    assert text.startswith("1: ") and "the server that was there comes back" in text and "/nowhere/leases" in text
    assert set(changed(before, appliance.picture())) <= {*STAYS, "/var/lib/misc/dnsmasq.leases"}
    assert appliance.run("pidof", "dnsmasq").stdout.split() == [appliance.run("cat", "/run/old.pid").stdout.strip()]


def test_what_somebody_else_wrote_since_stays(appliance: Appliance) -> None:
    before = old_server(appliance, *TWO_FILES)
    appliance.install("--no-start")
    appliance.write("/usr/sbin/dnsmasq", "of a package\n")
    appliance.run("chmod", "750", "/usr/sbin/dnsmasq")
    text = appliance.undo()
    assert "/usr/sbin/dnsmasq was written by somebody else since" in text
    assert (appliance.tree / "usr/sbin/dnsmasq").read_text() == "of a package\n"
    kept = appliance.tree / LIB.lstrip("/") / "kept/usr/sbin/dnsmasq"
    assert kept.read_bytes() == before["/usr/sbin/dnsmasq"][3]


NO_MODULE = "case $1 in -c) ;; *) echo No module named socket >&2; exit 1 ;; esac"
FAKE_PYTHON = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1 && exit\n%s\n'
REFUSALS = {  # what is wrong: how to make it so, the words of the installer, what it must say
    "nobody": ("", "", "only root can install"),
    "no Python": ("rm /usr/bin/python3", "", "apk add python3"),
    "an old Python": (f"echo '{FAKE_PYTHON % 'exit 1'}' >/usr/bin/python3", "", "Python 3.8.1 is too old"),
    "half a Python": (
        f"echo '{FAKE_PYTHON % NO_MODULE}' >/usr/bin/python3",
        "",
        "No module named socket\n  If a module is missing, this Python is not whole",
    ),
    "read-only": (  # what is mounted below keeps its own state.
        "mount -t tmpfs none TREE/tmp && mount --rbind TREE TREE && mount -o remount,ro,bind TREE",
        "", "mount -o remount,rw /",
    ),
    "a wrong configuration": ("echo cache-sise=1 >/etc/dnsmasq.conf", "", "did you mean 'cache-size'?"),
    "no program": ("rm /run/source/pydnsmasq.py", "", "there is no pydnsmasq.py beside this script"),
    "an unknown init": ("", "--init upstart", "there is no kind of init 'upstart'"),
    "no value": ("", "--root", "--root needs a value"),
    "no directory": ("", "--root /nowhere", "there is no directory /nowhere"),
    "an unknown word": ("", "--please", "Usage: sh install.sh"),
    "nothing to undo": ("", "--undo", "there is nothing to undo"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_refusal_changes_nothing(appliance: Appliance, wrong: str) -> None:
    """What is wrong is said with a remedy, before anything was written."""
    make, words, expected = REFUSALS[wrong]
    bring(appliance, *TWO_FILES)
    appliance.run("chmod", "1777", "/tmp")
    if wrong != "a wrong configuration":
        appliance.write("/run/source/pydnsmasq.py", "print('Dnsmasq version 2')\n")
    if wrong == "read-only":
        appliance.outside(make.replace("TREE", str(appliance.tree)))
    elif make:
        appliance.run("sh", "-c", make)
    before = appliance.picture()
    appliance.user = 65534 if wrong == "nobody" else 0
    text = appliance.install(*words.split(), check=False)
    assert text.startswith("1: ") and expected in text
    assert changed(before, appliance.picture()) == []


# -- trees of image builders -------------------------------------------------------

WANTS = "/etc/systemd/system/multi-user.target.wants/dnsmasq.service"
ALWAYS = {"/etc", "/etc/dnsmasq.conf", "/usr/sbin", "/usr/sbin/dnsmasq", "/var", "/var/lib", "/var/lib/misc", LIB}
ALWAYS |= {f"{LIB}/{name}" for name in ("install.sh", "manifest", "pydnsmasq.pyc", "source", "source/pydnsmasq.py")}
TREES = {  # kind of init: what the tree has, what the installer adds beside ALWAYS
    "systemd": (
        ("usr/lib/systemd/systemd",),
        {f"{LIB}/service", "/etc/systemd", "/etc/systemd/system", "/etc/systemd/system/dnsmasq.service",
         "/etc/systemd/system/multi-user.target.wants", WANTS},
    ),
    "openrc": (
        ("sbin/openrc-run", "etc/init.d/localmount", "etc/runlevels/default/localmount"),
        {"/etc/init.d/dnsmasq", "/etc/runlevels/default/dnsmasq"},
    ),
    "procd": (
        ("sbin/procd", "etc/rc.common", "etc/init.d/boot", "etc/rc.d/S10boot"),
        {"/etc/init.d/dnsmasq", "/etc/rc.d/S19dnsmasq", "/etc/hotplug.d"}
        | {f"/etc/hotplug.d/{kind}" for kind in ("dhcp", "neigh", "ntp", "tftp")},
    ),
    "sysv": (
        ("etc/init.d/skeleton", "etc/rc0.d/README", "etc/rc2.d/README", "etc/rc6.d/README", "etc/rcS.d/README"),
        {"/etc/init.d/dnsmasq", "/etc/rc2.d/S19dnsmasq", "/etc/rc0.d/K85dnsmasq", "/etc/rc6.d/K85dnsmasq"},
    ),
    "none": ((), {f"{LIB}/service"}),
}  # fmt: skip


def image(tree: pathlib.Path, *files: str) -> list[str]:
    """Make a tree with a Python of our own version; gives the command of the installer for it."""
    version = subprocess.run(
        ["python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
    ).stdout.strip()
    for name in ("usr/bin/python3", f"usr/lib/{version}/os.py", "etc/passwd", "etc/group", *files):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text({"etc/passwd": "root:x:0:0::/:/bin/sh\nntp:x:453:2::/:/bin/false\n"}.get(name, ""))
        (tree / name).chmod(0o755 if "bin" in name else 0o644)
    source = tree.parent / "source"
    for name in TWO_FILES:
        source.mkdir(exist_ok=True)
        shutil.copy(COPIES[name], source)
    (source / "pydnsmasq.py").write_text(f"print({p.version_text()!r})\n")
    return ["sh", str(source / "install.sh"), "--root", str(tree)]


@pytest.mark.parametrize("kind", TREES)
def test_a_tree(kind: str, tmp_path: pathlib.Path) -> None:
    """What an image needs lies where its init looks for it; nothing is started; the undo leaves no trace."""
    files, expected = TREES[kind]
    tree = tmp_path / "tree"
    command = image(tree, *files)
    before = picture(tree)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert f"for /usr/bin/python3 and {kind}" in done.stdout
    after = picture(tree)
    accounts = {"/etc/passwd", "/etc/group"}
    assert set(changed(before, after)) == (ALWAYS - before.keys()) | expected | accounts | {f"{LIB}/version"}
    assert b"dnsmasq:*:454:454:dnsmasq:/var/lib/misc:/bin/false\n" in after["/etc/passwd"][3]
    assert after["/etc/group"][3] == b"dnsmasq:x:454:\n"
    for name in expected:
        path = tree / name.lstrip("/")
        if path.is_symlink():
            target = os.readlink(path)
            assert (tree / target.lstrip("/") if target.startswith("/") else path.parent / target).is_file(), name
        elif name.endswith(("init.d/dnsmasq", "/service")):
            subprocess.run(["sh", "-n", str(path)], check=True)
            assert os.access(path, os.X_OK)
    subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert changed(after, picture(tree)) == []
    subprocess.run([*command, "--undo"], capture_output=True, check=True, timeout=30)
    assert set(changed(before, picture(tree))) <= {*STAYS, "/etc"}


def test_a_tree_of_openwrt(tmp_path: pathlib.Path) -> None:
    """With the whole directory: what the package would install, in the same places and modes; UCI files stay."""
    tree = tmp_path / "tree"
    (name, *words) = image(tree, *TREES["procd"][0])
    for part in ("init.d", "openwrt"):
        shutil.copytree(ROOT / part, tmp_path / "source" / part)
    words[0] = str(tmp_path / "source/init.d/install.sh")
    before = picture(tree)
    subprocess.run([name, *words], check=True, capture_output=True, timeout=30)
    makefile = (ROOT / "openwrt/Makefile").read_text().replace("\\\n", " ")
    packed = re.findall(r"^\t\$\(INSTALL_(BIN|DATA|CONF)\) (.*) \$\(1\)(\S+)$", makefile, re.M)
    assert len(packed) > 5
    for kind, sources, target in packed:
        for source in sources.split():
            path = tree / (target + source.rpartition("/")[2] if target.endswith("/") else target).lstrip("/")
            assert path.is_file() and os.access(path, os.X_OK) == (kind == "BIN"), path
            original = source.replace("./", "openwrt/").replace("$(PYDNSMASQ_SOURCE)/", "")
            if "$(" not in original and path.name != "dnsmasq.conf":
                assert path.read_bytes() == (ROOT / original).read_bytes(), path
    subprocess.run([name, *words, "--undo"], check=True, capture_output=True, timeout=30)
    stays = {*STAYS, "/etc", "/etc/config", "/etc/config/dhcp"}
    assert set(changed(before, picture(tree))) <= stays


def test_a_tree_for_another_python(tmp_path: pathlib.Path) -> None:
    """Nothing is compiled for a Python that is not here, and the program starts from source."""
    tree = tmp_path / "tree"
    command = image(tree)
    (library,) = (tree / "usr/lib").iterdir()
    library.rename(library.with_name("python3.99"))
    (tree / "usr/bin/python3").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the tree needs Python" in done.stderr
    (tree / "opt").mkdir()
    (tree / "opt/python").write_text("")
    done = subprocess.run([*command, "--python", "/opt/python"], capture_output=True, text=True, check=True)
    assert "will start from source" in done.stdout
    assert not (tree / LIB.lstrip("/") / "pydnsmasq.pyc").exists()
    assert (tree / "usr/sbin/dnsmasq").read_text().startswith("#!/opt/python -sS\n")


# -- Debian with sysvinit ----------------------------------------------------------


class Debian(Machine):
    DIRECTORIES = ("/etc", "/usr/sbin", "/usr/lib", "/var/lib")

    def sums(self) -> list[str]:
        """A line for each file of the directories, but of dpkg's own records and of caches."""
        command = "find /etc /usr/sbin /usr/lib/pydnsmasq /var/lib/misc ! -name mtab -type f | xargs -d '\\n' cksum"
        return [line for line in self.run("sh", "-c", command, check=False).stdout.splitlines() if "cksum:" not in line]


@pytest.fixture
def debian() -> Iterator[Debian]:
    need_root()
    made = Debian()
    made.run("rm", "-r", "/etc/dnsmasq.d")
    made.run("rm", "-f", "/var/lib/misc/dnsmasq.leases")
    bring(made, *NOT_SMALL)
    yield made
    made.close()


def test_the_dnsmasq_of_another_is_not_ours(debian: Debian) -> None:
    """The pid file of a crash names a process that is a dnsmasq by now, but not this one; anybody may ask."""
    debian.copy(PROGRAM, "/usr/sbin/dnsmasq")
    debian.write("/etc/dnsmasq.conf", CONF)
    debian.write("/etc/default/dnsmasq", DEFAULTS)
    debian.run("dnsmasq", "-C", "/etc/dnsmasq.conf", "-x", "/run/other.pid", "-p", "25353")
    debian.run("sh", "-c", f"mkdir /run/dnsmasq && cp /run/other.pid {PID_FILE}")
    service = ["/run/source/init.d/dnsmasq"]
    assert debian.run(*service, "status", check=False).returncode == 1
    assert debian.run(*service, "stop").returncode == 0 and debian.ask("rec.test", 25353) == "10.1.2.3"
    assert debian.run(*service, "start").returncode == 0 and debian.ask("rec.test") == "10.1.2.3"
    somebody = ["setpriv", "--reuid", "65534", "--clear-groups"]
    assert debian.run(*somebody, *service, "status").stdout == f"dnsmasq is running, process {running(debian)}\n"


def test_beside_the_package_of_debian(debian: Debian) -> None:
    """The real program is diverted, so that no upgrade of its package takes our place; the undo brings it back."""
    need_tool("dpkg-divert", "dnsmasq")
    debian.write("/etc/dnsmasq.conf", CONF)
    debian.write("/etc/default/dnsmasq", DEFAULTS)
    before = debian.sums()
    debian.run("sh", "/run/source/init.d/install.sh", "--init", "sysv")
    assert debian.run("dpkg-divert", "--truename", "/usr/sbin/dnsmasq").stdout == "/usr/sbin/dnsmasq.distrib\n"
    assert debian.run("/usr/sbin/dnsmasq.distrib", "--version").stdout != p.version_text()
    assert debian.ask("rec.test") == "10.1.2.3"
    assert re.search(r"S\d\ddnsmasq", debian.run("sh", "-c", "ls /etc/rc2.d").stdout)
    debian.run("sh", f"{LIB}/install.sh", "--undo")
    assert debian.ask("rec.test") == "silence"
    assert debian.run("dpkg-divert", "--list", "/usr/sbin/dnsmasq").stdout == ""
    names = {line.split(" ", 2)[2] for line in {*before} ^ {*debian.sums()}}
    # update-rc.d may number the links of others anew, and notes it in .depend files.
    others = {name for name in names if re.match(r"/etc/(rc.\.d|init\.d/\.depend)", name) and "dnsmasq" not in name}
    assert names - others <= {"/var/lib/misc/dnsmasq.leases"}


RESOLVCONF = """#!/bin/sh
echo "$*" $([ "$1" != -a ] || cat) >>/run/resolvconf.log
"""


@pytest.mark.parametrize(
    ("conf", "hook", "told"),
    [
        (CONF, False, ["-a lo.dnsmasq nameserver 127.0.0.1", "-d lo.dnsmasq"]),
        (CONF.replace("no-resolv\n", ""), True, ["-a lo.dnsmasq nameserver 127.0.0.1", "-d lo.dnsmasq"]),
        # Whoever reads /etc/resolv.conf itself would lose its servers.
        (CONF.replace("no-resolv\n", ""), False, ["-d lo.dnsmasq"]),
        (CONF + "port=0\n", False, ["-d lo.dnsmasq"]),
    ],
    ids=["no-resolv", "hook", "resolv.conf", "port=0"],
)
def test_resolvconf_is_told(debian: Debian, conf: str, hook: bool, told: list[str]) -> None:
    debian.write("/usr/sbin/resolvconf", RESOLVCONF)
    debian.copy(PROGRAM, "/usr/sbin/dnsmasq")
    debian.run("chmod", "755", "/usr/sbin/resolvconf")
    debian.run("rm", "-f", "/etc/default/dnsmasq", "/etc/resolvconf/update.d/dnsmasq")
    if hook:
        debian.run("mkdir", "-p", "/etc/resolvconf/update.d")
        debian.run("cp", "/usr/sbin/resolvconf", "/etc/resolvconf/update.d/dnsmasq")
    debian.write("/etc/dnsmasq.conf", conf)
    for action in ("start", "stop"):
        debian.run("/run/source/init.d/dnsmasq", action)
    assert debian.run("cat", "/run/resolvconf.log").stdout.splitlines() == told


# -- OpenRC ------------------------------------------------------------------------

RC_STATES = "daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive"
RC_PARTS = {"net": "depend() { provide net; }", "localmount": ""}


@pytest.fixture
def openrc(debian: Debian) -> Debian:
    """A machine whose OpenRC has nothing but what we need, in the runlevel default."""
    need_tool("openrc-run")
    debian.run(
        "sh", "-c", f"cd /run; for d in {RC_STATES}; do mkdir -p openrc/$d; done; echo default >openrc/softlevel"
    )
    debian.run("sh", "-c", "rm -rf /etc/init.d/* /etc/runlevels/*/*; mkdir -p /etc/conf.d")
    for name, text in RC_PARTS.items():
        debian.write(f"/etc/init.d/{name}", f"#!/sbin/openrc-run\n{text}\nstart() {{ :; }}\n")
        debian.run("chmod", "755", f"/etc/init.d/{name}")
    debian.write("/etc/dnsmasq.conf", CONF + "log-facility=/run/log\n")
    return debian


@pytest.mark.parametrize("supervised", [False, True], ids=["daemon", "supervised"])
def test_openrc(openrc: Debian, supervised: bool) -> None:
    """Installed, started, asked for its state, reloaded, restarted, after a crash, stopped, undone."""
    if supervised:
        need_tool("supervise-daemon")
        openrc.write("/etc/conf.d/dnsmasq", "supervisor=supervise-daemon\nrespawn_delay=1\n")

    def service(action: str) -> tuple[int, str]:
        done = openrc.run("rc-service", "dnsmasq", action, check=False)
        return done.returncode, done.stdout

    def serves(address: str) -> None:
        wait_until(lambda: openrc.ask("rec.test") == address, 10, address)

    openrc.run("sh", "/run/source/init.d/install.sh", "--no-start")
    assert openrc.run("readlink", "/etc/runlevels/default/dnsmasq").stdout == "/etc/init.d/dnsmasq\n"
    assert service("status")[0] == 3 and service("reload")[0] != 0
    code, text = service("start")
    assert code == 0, text
    if not supervised:
        assert openrc.ask("rec.test") == "10.1.2.3", "at once: it serves when start returns"
    serves("10.1.2.3")
    assert openrc.run("stat", "-c", "%U", f"/proc/{running(openrc)}").stdout == "dnsmasq\n"
    assert service("status") == (0, " * status: started\n")
    openrc.write("/etc/dnsmasq.conf", CONF.replace("10.1.2.3", "10.1.2.4") + "log-facility=/run/log\n")
    assert service("reload")[0] == 0
    serves("10.1.2.4")
    assert service("dumpstats")[0] == 0
    wait_until(lambda: "queries forwarded" in openrc.run("cat", "/run/log").stdout, 5, "the statistics")

    server = running(openrc)
    openrc.write("/etc/dnsmasq.conf", CONF + "cache-sise=5\n")
    for action in ("checkconfig", "reload", "restart"):
        code, text = service(action)
        assert code and "did you mean 'cache-size'?" in text, (action, text)
    assert running(openrc) == server and openrc.ask("rec.test") == "10.1.2.4"
    openrc.write("/etc/dnsmasq.conf", CONF)
    code, text = service("restart")
    assert code == 0, text
    serves("10.1.2.3")

    server = running(openrc)
    openrc.run("kill", "-KILL", server)
    if supervised:
        wait_until(lambda: openrc.run("cat", PID_FILE, check=False).stdout.strip() not in ("", server), 10, "another")
    else:
        wait_until(lambda: service("status")[0] == 32, 5, "the crash to be seen")
        code, text = service("restart")
        assert code == 0, text
    serves("10.1.2.3")
    assert service("stop")[0] == 0
    assert openrc.ask("rec.test") == "silence" and service("status")[0] == 3
    openrc.run("sh", f"{LIB}/install.sh", "--undo")
    assert openrc.run("sh", "-c", "ls /etc/init.d /etc/runlevels/default | grep dns", check=False).stdout == ""


def test_openrc_with_two_files(openrc: Debian) -> None:
    openrc.run("sh", "-c", "rm -r /run/source/init.d/dnsmasq* /run/source/openwrt")
    openrc.run("sh", "/run/source/init.d/install.sh", "--init", "openrc")
    wait_until(lambda: openrc.ask("rec.test") == "10.1.2.3", 10, "the server")
    assert openrc.run("rc-service", "dnsmasq", "status").stdout == " * status: started\n"
    openrc.run("sh", f"{LIB}/install.sh", "--undo")
    assert openrc.ask("rec.test") == "silence"


# -- systemd -----------------------------------------------------------------------

# What the unit leans on, without what these would start: that is for a real machine.
TARGETS = ("tests", "sysinit", "basic", "shutdown", "multi-user", "network", "nss-lookup", "time-set")


def control(machine: Machine, *words: str) -> tuple[int, str]:
    done = machine.run("systemctl", *words, check=False)
    return done.returncode, done.stdout


class Systemd(Debian):
    """The same with systemd as process 1 of a namespace, and a control group of its own."""

    FIRST = (
        "exec env -i container=tests PATH=/usr/sbin:/usr/bin:/sbin:/bin "
        "/lib/systemd/systemd --system --unit=tests.target --log-target=null --show-status=no"
    )

    def __init__(self) -> None:
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        found = re.search(r" (/\S+) \S+(?: \S+:\S+)* - cgroup2 ", mounts)
        if not found:
            pytest.skip("there are no control groups of version 2")
        self._group = pathlib.Path(found[1]) / f"pydnsmasq-{os.getpid()}"
        enter = f'mkdir -p {self._group} && echo $$ >{self._group}/cgroup.procs && exec "$@"'
        self.UNSHARE = ("sh", "-c", enter, "sh", "unshare", "-C", "-i", "-u", *Machine.UNSHARE[1:])
        self.MORE = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup\n"
        for where in ("system", "system-generators"):
            self.MORE += f"mount -t tmpfs none /usr/lib/systemd/{where}\n"
        self.MORE += "rm -rf /etc/systemd/system && mkdir -p /etc/systemd/system\n"
        for name in TARGETS:
            self.MORE += f"printf '[Unit]\\nDefaultDependencies=no\\n' >/etc/systemd/system/{name}.target\n"
        super().__init__()
        wait_until(lambda: control(self, "is-active", "tests.target")[0] == 0, 10, "systemd")

    def close(self) -> None:
        super().close()

        def gone() -> bool:
            for directory in sorted(self._group.rglob("*/"), reverse=True):
                directory.rmdir()
            self._group.rmdir()
            return True

        def tried() -> bool:
            try:
                return not self._group.exists() or gone()
            except OSError:  # its last process is not quite dead
                return False

        wait_until(tried, 5, "the end of the control group")


def lan(machine: Machine) -> None:
    """A network with a client in it, whose other address the server must not give away."""
    need_tool("udhcpc")
    machine.run("ip", "netns", "add", "client")
    for line in (
        "link add lan0 type veth peer name eth0 netns client",
        "link set lan0 up",
        "address add 192.168.77.1/24 dev lan0",
        "-n client link set eth0 up",
        "-n client address add 192.168.77.50/24 dev eth0",
    ):
        machine.run("ip", *line.split())


LAN = CONF + "dhcp-range=192.168.77.50,192.168.77.60,1h\ndhcp-sequential-ip\nlog-facility=/var/log/dnsmasq.log\n"


def serves_with_three_capabilities(machine: Machine) -> None:
    """DNS on port 53, an address by DHCP past the one that answers a ping, a lease on disk; and nothing of root."""
    assert machine.ask("rec.test") == "10.1.2.3"
    told = machine.run("ip", "netns", "exec", "client", *"udhcpc -i eth0 -f -q -n -s /bin/echo".split()).stdout
    assert "lease of 192.168.77.51 obtained from 192.168.77.1" in told
    assert " 192.168.77.51 " in machine.run("cat", "/var/lib/misc/dnsmasq.leases").stdout
    status = machine.run("cat", f"/proc/{running(machine)}/status").stdout
    user = machine.run("id", "-u", "dnsmasq").stdout.strip()
    mask = f"{sum(1 << bit for bit in (10, 12, 13)):016x}"
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert f"{name}:\t{mask}\n" in status, status
    assert re.search(rf"^Uid:(\s{user}){{4}}$", status, re.M) and "NoNewPrivs:\t1\n" in status
    assert not re.search("Traceback|internal error", machine.run("cat", "/var/log/dnsmasq.log").stdout)


def log_file(machine: Machine) -> None:
    """/var/log/dnsmasq.log, which only root could make."""
    machine.run(
        "sh", "-c", "mount -t tmpfs none /var/log && : >/var/log/dnsmasq.log && chown dnsmasq /var/log/dnsmasq.log"
    )


def unit_lines(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


def test_three_capabilities_are_enough(debian: Debian) -> None:
    """The command lines of the unit with the account and the capabilities of the unit, and no root."""
    need_tool("setpriv")
    for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert unit_lines(name) == [" ".join(f"CAP_{one.upper()}" for one in CAPABILITIES)]
    lan(debian)
    log_file(debian)
    debian.write("/etc/dnsmasq.conf", LAN)
    debian.write("/etc/default/dnsmasq", DEFAULTS + "DNSMASQ_USER=nobody\n")  # which means nothing here
    debian.copy(PROGRAM, "/usr/sbin/dnsmasq")
    debian.run("mkdir", LIB)
    debian.run("cp", "/run/source/init.d/dnsmasq", f"{LIB}/service")
    debian.run("sh", "-c", "mkdir /run/dnsmasq && chown dnsmasq /run/dnsmasq")
    group = debian.run("id", "-g", "dnsmasq").stdout.strip()
    capabilities = ",".join(f"+{name}" for name in CAPABILITIES)
    less = ["setpriv", "--reuid", "dnsmasq", "--regid", group, "--clear-groups", "--no-new-privs"]
    less += [f"--{which}=-all,{capabilities}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    lines = [*unit_lines("ExecStartPre"), *unit_lines("ExecStart")]
    assert [line[:1] for line in lines] == ["+", "/", "/"], "only the first is root's"
    for line in lines:
        debian.run(*([] if line[0] == "+" else less), *line.lstrip("+").split())
    serves_with_three_capabilities(debian)


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    need_root()
    need_tool("systemctl", "/lib/systemd/systemd")
    made = Systemd()
    try:
        made.run("rm", "-rf", "/etc/dnsmasq.d", "/var/lib/misc/dnsmasq.leases", "/etc/default/dnsmasq")
        bring(made, *NOT_SMALL)
        lan(made)
        log_file(made)
        made.write("/etc/dnsmasq.conf", LAN)
        yield made
    finally:
        made.close()


def test_systemd(systemd: Systemd) -> None:
    """Installed, in its sandbox, reloaded, after a crash, with a wrong configuration, stopped, undone."""
    systemd.write("/usr/sbin/resolvconf", RESOLVCONF)
    systemd.run("chmod", "755", "/usr/sbin/resolvconf")
    assert unit_lines("RestartSec") == ["5"]
    systemd.run("mkdir", "/etc/systemd/system/dnsmasq.service.d")
    systemd.write("/etc/systemd/system/dnsmasq.service.d/sooner.conf", "[Service]\nRestartSec=0.1\n")
    systemd.run("sh", "/run/source/init.d/install.sh")
    assert systemd.run("systemd-analyze", "verify", "dnsmasq.service").stdout == ""
    assert control(systemd, "is-active", "dnsmasq") == (0, "active\n")
    assert control(systemd, "is-enabled", "dnsmasq") == (0, "enabled\n")
    assert control(systemd, "show", "-P", "MainPID", "dnsmasq")[1].strip() == running(systemd)
    serves_with_three_capabilities(systemd)
    status = systemd.run("cat", f"/proc/{running(systemd)}/status").stdout
    assert "Seccomp:\t2\n" in status and systemd.run("pidof", "dnsmasq").stdout.split() == [running(systemd)]
    # Inside, /usr and /home are out of reach.
    inside = ["nsenter", "-t", running(systemd), "-m", "--"]
    for directory in ("/usr", "/etc", "/srv"):
        assert systemd.run(*inside, "touch", f"{directory}/mark", check=False).returncode, directory
    assert systemd.run(*inside, "ls", "-A", "/root").stdout == ""

    systemd.write("/etc/dnsmasq.conf", LAN.replace("10.1.2.3", "10.1.2.4"))
    assert control(systemd, "reload", "dnsmasq")[0] == 0
    wait_until(lambda: systemd.ask("rec.test") == "10.1.2.4", 5, "the reload")
    systemd.write("/etc/dnsmasq.conf", "cache-sise=5\n")
    assert control(systemd, "reload", "dnsmasq")[0] == 1
    assert systemd.ask("rec.test") == "10.1.2.4"
    systemd.write("/etc/dnsmasq.conf", LAN)

    server = running(systemd)
    systemd.run("kill", "-KILL", server)
    wait_until(lambda: systemd.ask("rec.test") == "10.1.2.3", 20, "another one")
    wait_until(lambda: control(systemd, "is-active", "dnsmasq")[0] == 0, 10, "the end of its start")
    assert running(systemd) != server
    assert control(systemd, "stop", "dnsmasq") == (0, "")
    assert systemd.ask("rec.test") == "silence"
    assert systemd.run("test", "-e", "/run/dnsmasq", check=False).returncode == 1
    told = systemd.run("cat", "/run/resolvconf.log").stdout.splitlines()
    assert told == ["-a lo.dnsmasq nameserver 127.0.0.1", "-d lo.dnsmasq"] * 2

    systemd.write("/etc/dnsmasq.conf", "cache-sise=5\n")
    assert control(systemd, "start", "dnsmasq")[0] == 1
    wait_until(lambda: control(systemd, "is-failed", "dnsmasq") == (0, "failed\n"), 10, "the last try")
    systemd.run("sh", f"{LIB}/install.sh", "--undo")
    assert control(systemd, "cat", "dnsmasq")[0] == 1


def test_systemd_with_two_files(systemd: Systemd) -> None:
    systemd.run("sh", "-c", "rm -r /run/source/init.d/dnsmasq* /run/source/openwrt")
    systemd.run("sh", "/run/source/init.d/install.sh")
    assert systemd.ask("rec.test") == "10.1.2.3"
    assert control(systemd, "show", "-P", "MainPID", "dnsmasq")[1].strip() == running(systemd)
    assert control(systemd, "reload", "dnsmasq") == (0, "")
    systemd.run("sh", f"{LIB}/install.sh", "--undo")
    assert systemd.ask("rec.test") == "silence"


def test_a_script_that_must_be_root(systemd: Systemd) -> None:
    """The change that the head of the unit names: the script is root, the server is not."""
    lines = re.findall(r"^#   (.*)$", UNIT.read_text().partition("[Service]")[2].partition("\n[Unit]")[0], re.M)
    assert lines[0] == "User=root"
    systemd.write("/run/script", '#!/bin/sh\nid -u >"/etc/ran-$1"\n')
    systemd.run("chmod", "755", "/run/script")
    systemd.run("mkdir", "/etc/systemd/system/dnsmasq.service.d")
    systemd.write("/etc/systemd/system/dnsmasq.service.d/override.conf", "\n".join(["[Service]", *lines, ""]))
    systemd.write("/etc/dnsmasq.conf", LAN + "dhcp-script=/run/script\n")
    text = systemd.run("sh", "/run/source/init.d/install.sh").stdout
    assert "the dhcp-script will not be root" in text
    systemd.run("ip", "netns", "exec", "client", *"udhcpc -i eth0 -f -q -n -s /bin/echo".split())
    wait_until(lambda: systemd.run("cat", "/etc/ran-add", check=False).stdout == "0\n", 10, "the script")
    assert systemd.run("stat", "-c", "%U", f"/proc/{running(systemd)}").stdout == "dnsmasq\n"
    assert control(systemd, "stop", "dnsmasq") == (0, "")


def test_the_exposure_of_the_unit(tmp_path: pathlib.Path) -> None:
    """What systemd itself thinks of the sandbox, from 0 (closed) to 10 (open)."""
    need_tool("systemd-analyze")
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for dnsmasq.service: ([0-9.]+)", done.stdout)
    assert found and float(found[1]) <= 1.8, done.stdout + done.stderr
