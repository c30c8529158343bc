"""Section 72: what the command prints, and how it starts and fails."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

import pydnsmasq
from harness import OURS_KIND, PROGRAM, ask, free_port, run_program, wait_until

pytestmark = pytest.mark.skipif(OURS_KIND == "real", reason="about our own command")

COMMAND = [sys.executable, str(PROGRAM)]


def test_version_text() -> None:
    lines = pydnsmasq.version_text().splitlines()
    assert re.fullmatch(r"Dnsmasq version 2\.93  Copyright .*", lines[0])
    assert lines[1] == "Compile time options: " + pydnsmasq.COMPILE_OPTIONS
    assert f"pydnsmasq {pydnsmasq.VERSION}" in "\n".join(lines[2:])


@pytest.mark.parametrize(
    ("words", "begins", "holds"),
    [
        (["--version"], "Dnsmasq version ", "pydnsmasq"),
        (["-v"], "Dnsmasq version ", "pydnsmasq"),
        (["-k", "--version"], "Dnsmasq version ", "pydnsmasq"),
        (["--help"], "", "--no-resolv"),
        (["-w"], "", "--no-resolv"),
        (["--help", "dhcp"], "", "router"),
        (["--help", "dhcp6"], "", "dns-server"),
    ],
)
def test_what_is_printed(words: list[str], begins: str, holds: str) -> None:
    done = run_program(*words)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(begins) and holds in done.stdout and done.stdout.endswith("\n")


def test_help_text_topics() -> None:
    texts = [pydnsmasq.help_text(topic) for topic in ("", "dhcp", "dhcp6")]
    assert len(set(texts)) == 3 and "--conf-file" in texts[0]


def test_version_needs_no_configuration(tmp_path: pathlib.Path) -> None:
    done = run_program("--version", env={"PATH": "/nowhere"}, cwd="/")
    assert done.returncode == 0


def test_a_closed_standard_output_gives_no_traceback(tmp_path: pathlib.Path) -> None:
    errors = tmp_path / "errors"
    for words in (["--version"], ["--help"], ["--test", "-C", "/dev/null"]):
        script = f'exec "$@" >&- 2>{errors}'
        subprocess.run(["sh", "-c", script, "sh", *COMMAND, *words], check=False)
        assert "Traceback" not in errors.read_text()
        done = subprocess.run(
            ["sh", "-c", '"$@" | true', "sh", *COMMAND, *words], capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr


def test_errors_go_to_standard_error_with_the_name(tmp_path: pathlib.Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("nonsense\n")
    done = run_program("--test", "-C", str(conf))
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(rf"^dnsmasq: .*{re.escape(str(conf))}:1", done.stderr, re.M)


def test_a_failed_start_says_why() -> None:
    done = run_program("-k", "-C", "/dev/null", "-x", "", "-8", "/no/such/log", "-p", str(free_port()))
    assert done.returncode == 3 and done.stderr.startswith("\ndnsmasq: ") and "/no/such/log" in done.stderr
    assert "Traceback" not in done.stderr


def _starting(tmp_path: pathlib.Path, port: int, seconds: float) -> subprocess.Popen[bytes]:
    """A daemon whose start takes a while, in its conf-script; what it says goes to a file."""
    script = tmp_path / "slow"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/running\nsleep {seconds}\necho no-resolv\n")
    script.chmod(0o755)
    words = ["-k", "-C", "/dev/null", f"--conf-script={script}", "-u", "root", "-x", "", "-8", "/dev/null"]
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen([*COMMAND, *words, "-p", str(port)], stderr=errors)
    wait_until((tmp_path / "running").exists, 10, "the script")
    return process


def test_term_ends_the_start(tmp_path: pathlib.Path) -> None:
    process = _starting(tmp_path, free_port(), 10)
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 5
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "errors").read_text()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE])
def test_other_signals_do_not_end_the_start(number: signal.Signals, tmp_path: pathlib.Path) -> None:
    port = free_port()
    process = _starting(tmp_path, port, 0.3)
    try:
        process.send_signal(number)
        wait_until(lambda: ask(port, "version.bind", "TXT", "CH", seconds=0.5), 10, "the end of the start")
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(5) == 0


def test_main_is_callable(capsys: pytest.CaptureFixture[str]) -> None:
    """main(argv) gives the exit code and leaves the process to the caller."""
    kept = {number: signal.getsignal(number) for number in (1, 2, 10, 12, 13, 15)}
    try:
        assert pydnsmasq.main(["--version"]) == 0
        assert pydnsmasq.main(["--test", "-C", "/dev/null"]) == 0
        assert pydnsmasq.main(["--nosuch"]) == 1
        assert pydnsmasq.main(["--test", "-C", "/no/such/file"]) == 3
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    shown = capsys.readouterr()
    assert shown.out == pydnsmasq.version_text() and "syntax check OK" in shown.err


def test_importing_starts_nothing() -> None:
    code = "import sys, pydnsmasq; print(sorted(set(pydnsmasq.__all__)), pydnsmasq.main)"
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "main" in done.stdout and done.stderr == ""
