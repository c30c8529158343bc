"""Section 32: the rows, compared with dnsmasq's, and lines that each option takes and refuses."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

import pydnsmasq as p

DATA = pathlib.Path(__file__).resolve().parent / "data"
REFERENCE = [line.split("\t") for line in (DATA / "options.tsv").read_text().splitlines()[1:]]
LINES = [  # sign, whether dnsmasq 2.90 decides otherwise, line
    (line[0], line[1] == "~", line.partition(" ")[2])
    for line in (DATA / "option_lines.txt").read_text().splitlines()
    if line and line[0] != "#"
]
DNSMASQ = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Source:
    """A machine with one file and a shell that does nothing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def identity(self, path: str) -> str:
        if path.startswith("/nonexistent"):
            raise FileNotFoundError(2, "No such file or directory")
        return path

    def read(self, path: str):
        yield self.text.encode() if path == "/conf" else b""

    def run(self, command: str) -> tuple[int, bytes]:
        return 0, b""


def option_name(line: str) -> str:
    return line.partition("=")[0].strip().split()[0]


def test_all_rows_are_there() -> None:
    assert len(REFERENCE) == 194
    assert {row[0] for row in REFERENCE} == set(p.OPTIONS)
    assert len(p.OPTION_ROWS) == len(p.OPTIONS)


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda row: row[0])
def test_row_agrees_with_the_reference(reference: list[str]) -> None:
    row = p.OPTIONS[reference[0]]
    assert [row.name, row.letter, row.arity, row.where, row.repeat] == reference
    assert (
        row.help
        and row.help[0].islower()
        or row.help[:2] in ("MA", "DU", "TT", "PT", "NA", "CA", "SO", "TC", "Lu", "IP")
    )
    assert (row.meta == "") == (row.arity == "none")
    assert row.status in ("works", "later", "refused") and (row.status == "refused") == bool(row.reason)
    assert row.merge in ("last", "least", "append", "extend", "union")


def test_letters_are_unique_but_for_aliases() -> None:
    letters: dict[str, str] = {}
    for row in p.OPTION_ROWS:
        if row.letter:
            assert letters.setdefault(row.letter, row.target) == row.target
    assert p.OPTION_LETTERS["s"].name == "domain" and p.OPTION_LETTERS["l"].name == "dhcp-leasefile"


@pytest.mark.parametrize("name", sorted(p.OPTIONS))
def test_option_has_an_accepted_and_a_refused_line(name: str) -> None:
    signs = {sign for sign, _, line in LINES if option_name(line) == name}
    if p.OPTIONS[name].where == "cmdline" or p.OPTIONS[name].status == "refused":
        assert signs == {"-"}
    else:
        assert signs == {"+", "-"}


@pytest.mark.parametrize(("sign", "other", "line"), LINES)
def test_line(sign: str, other: bool, line: str) -> None:
    result = p.config_load(["-C", "/conf"], Source(line + "\n"))
    if sign == "+":
        assert result.problems == () and result.config is not None
        assert option_name(line) in result.config.given
    else:
        problem = result.problems[0]
        assert result.config is None and result.exit_code in (1, 3)
        assert problem.place == "line 1 of /conf" and problem.option == option_name(line)
        assert problem.problem


@pytest.mark.skipif(DNSMASQ is None, reason="dnsmasq is not installed")
def test_dnsmasq_decides_as_we_do(tmp_path: pathlib.Path) -> None:
    assert DNSMASQ is not None
    wrong = []
    for number, (sign, other, line) in enumerate(LINES):
        path = tmp_path / f"{number}.conf"
        path.write_text(line + "\n")
        if other:
            continue
        run = subprocess.run([DNSMASQ, "--test", "-C", str(path)], capture_output=True, timeout=20, check=False)
        if (run.returncode == 0) != (sign == "+"):
            wrong.append((sign, line, run.stderr.decode()))
    assert wrong == []


def test_status_of_rows() -> None:
    later = {row.name for row in p.OPTION_ROWS if row.status == "later"}
    assert {"enable-dbus", "umbrella", "enable-ra", "quiet-ra"} <= later
    works = {"server", "domain", "dhcp-range", "log-dhcp", "dhcp-script", "log-queries", "auth-zone", "quiet-tftp"}
    areas = {row.name for row in p.OPTION_ROWS if row.area in ("pxe", "tftp")}
    assert {"dhcp-boot", "pxe-service", "tftp-root"} <= areas and not later & (works | areas | {"conf-file", "user"})
    assert [row.name for row in p.OPTION_ROWS if row.status == "refused"] == ["dhcp-luascript"]


def test_help_names_every_option() -> None:
    text = p.option_help()
    assert all(f"--{name}" in text for name in p.OPTIONS)
    assert "-S, --server=" in text and "    --filter-AAAA" in text
    assert max(map(len, text.splitlines())) < 140


def test_help_of_dhcp_options() -> None:
    assert "  3 router\n" in p.dhcp_option_help(4) and "broadcast" not in p.dhcp_option_help(4)
    assert " 23 dns-server\n" in p.dhcp_option_help(6) and "client-id" not in p.dhcp_option_help(6)


def test_letters_with_optional_values() -> None:
    assert p.OPTIONS["log-queries"].short_arity() == "none"
    assert p.OPTIONS["enable-dbus"].short_arity() == "none"
    assert p.OPTIONS["user"].short_arity() == "required"
    assert p.OPTIONS["no-hosts"].short_arity() == "none"
