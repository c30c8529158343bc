"""Start files for plain Linux and the installer: a busybox machine, Debian, OpenRC, systemd as process 1, image trees."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
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
    "openwrt/files/dnsmasq.launcher": ROOT / "openwrt" / "files" / "dnsmasq.launcher",
    **{f"init.d/{path.name}": path for path in INIT_D.iterdir()},
}
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
    # The installed copy compiles again, and leaves the rest as it is.
    module = appliance.tree / LIB.lstrip("/") / "pydnsmasq.pyc"
    module.write_bytes(b"of another Python")
    assert appliance.run("sh", f"{LIB}/install.sh").returncode == 0
    assert changed(first, appliance.picture()) == []

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
    before = old_server(appliance)
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


FAKE_PYTHON = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1 && exit\n%s\n'
REFUSALS = {  # what is wrong: how to make it so, the words of the installer, what it must say
    "nobody": ("", "", "only root can install"),
    "no Python": ("rm /usr/bin/python3", "", "apk add python3"),
    "an old Python": (f"echo '{FAKE_PYTHON % 'exit 1'}' >/usr/bin/python3", "", "Python 3.8.1 is too old"),
    "half a Python": (
        f"echo '{FAKE_PYTHON % 'case $1 in -c) ;; *) echo No module named socket >&2; exit 1 ;; esac'}' "
        ">/usr/bin/python3",
        "", "No module named socket\n  If a module is missing, this Python is not whole",
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
        {"/etc/init.d/dnsmasq", "/etc/rc.d/S19dnsmasq"},
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
    assert (tree / "usr/sbin/dnsmasq").read_text().startswith("#!/opt/python\n")


# -- Debian with sysvinit ----------------------------------------------------------


class Debian(Machine):
    DIRECTORIES = ("/etc", "/usr/sbin", "/usr/lib", "/var/lib")

    def sums(self) -> list[str]:
        """A line for each file of the directories, but of dpkg's own records and of caches."""
        command = "find /etc /usr/sbin /usr/lib/pydnsmasq /var/lib/misc -type f -o -type l | sort | xargs -d '\\n' cksum"
        return [line for line in self.run("sh", "-c", command, check=False).stdout.splitlines() if "cksum:" not in line]


@pytest.fixture
def debian() -> Iterator[Debian]:
    need_root()
    made = Debian()
    made.run("rm", "-r", "/etc/dnsmasq.d")
    made.run("rm", "-f", "/var/lib/misc/dnsmasq.leases")
    bring(made)
    yield made
    made.close()


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
    added = {"/var/lib/misc/dnsmasq.leases"}
    assert {line.split(" ", 2)[2] for line in {*before} ^ {*debian.sums()}} - added == set()
