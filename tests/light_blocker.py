"""Run the program with nothing but the modules of OpenWrt's python3-light.

    python light_blocker.py PROGRAM

starts itself again for each try: with `--as-program` the importer below is put
in front and the program is run as `__main__`.
"""

from __future__ import annotations

import pathlib
import runpy
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LIGHT = {line.strip() for line in (HERE / "data" / "python3-light-modules.txt").read_text().splitlines()}
# What the interpreter itself loads, and submodules of nothing.
ALWAYS = {"__main__", "__mp_main__", "sitecustomize", "usercustomize", "pydnsmasq"}


class Blocker:
    """A finder that refuses what the router does not have."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        top = name.partition(".")[0]
        if top not in LIGHT and top not in ALWAYS and top not in sys.builtin_module_names:
            raise ModuleNotFoundError(f"No module named {name!r} (not in python3-light)", name=name)


def run_blocked(arguments: list[str]) -> None:
    """Become the program, blocked."""
    for name in list(sys.modules):
        if name.partition(".")[0] not in LIGHT | ALWAYS | set(sys.builtin_module_names):
            del sys.modules[name]
    for name in ("subprocess", "tempfile", "pathlib", "runpy", "random", "shutil"):
        if name != "runpy":
            sys.modules.pop(name, None)
    sys.meta_path.insert(0, Blocker())  # type: ignore[arg-type]
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def check_command(program: str, arguments: list[str], expect: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-S", __file__, "--as-program", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    if done.returncode or expect not in output:
        return [f"{arguments}: status {done.returncode}, {expect!r} expected in: {output[-1500:]}"]
    return []


def check_answer(program: str) -> list[str]:
    """Start it and ask one question."""
    from harness import Daemon

    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(
            pathlib.Path(directory) / "d",
            "no-resolv\nno-hosts\nhost-record=blocked.test,10.1.2.3\nlog-queries\n",
            kind="ours",
            python=(sys.executable, "-S", __file__, "--as-program"),
        )
        try:
            daemon.start()
            answer = daemon.ask("blocked.test").rdatas("A")
            words = pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_bytes().split(b"\0")
            if b"--as-program" not in words:
                return [f"went on in an interpreter without the blocker: {words}"]
            return [] if answer == ["10.1.2.3"] else [f"answered {answer}"]
        except AssertionError as error:
            return [str(error)]
        finally:
            daemon.stop()


def main() -> int:
    if sys.argv[1] == "--as-program":
        run_blocked(sys.argv[2:])
        return 0
    program = sys.argv[1]
    complaints = check_command(program, ["--version"], "Dnsmasq version ")
    complaints += check_command(program, ["--help"], "--addn-hosts")
    complaints += check_command(program, ["--test", "-C", "/dev/null"], "syntax check OK")
    complaints += check_answer(program)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
