"""Section 11: what is raised, what it carries, and who may catch it."""

from __future__ import annotations

import pytest

import pydnsmasq
from pydnsmasq import ConfigError, ConfigProblem, PydnsmasqError, StartError, WireError

EXIT_CODES = {
    "EXIT_OK": 0, "EXIT_CONFIG": 1, "EXIT_NETWORK": 2, "EXIT_FILE": 3, "EXIT_MEMORY": 4, "EXIT_MISC": 5,
    "EXIT_SCRIPT": 10,
}  # fmt: skip


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_exit_codes_are_those_of_the_manual(name: str, code: int) -> None:
    assert getattr(pydnsmasq, name) == code


def test_all_exit_codes_are_in_the_table() -> None:
    assert {name for name in vars(pydnsmasq) if name.startswith("EXIT_")} == set(EXIT_CODES)


@pytest.mark.parametrize("kind", [WireError, ConfigError, StartError])
def test_one_base_and_nothing_else(kind: type[Exception]) -> None:
    assert kind.__bases__ == (PydnsmasqError,)
    assert PydnsmasqError.__bases__ == (Exception,)


def test_every_error_of_the_program_has_the_base() -> None:
    kinds = [
        kind
        for kind in vars(pydnsmasq).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "pydnsmasq"
    ]
    assert WireError in kinds
    assert [kind for kind in kinds if not issubclass(kind, PydnsmasqError)] == []


def test_the_kinds_do_not_catch_one_another() -> None:
    kinds = (WireError, ConfigError, StartError)
    assert [(a, b) for a in kinds for b in kinds if a is not b and issubclass(a, b)] == []


def test_config_error_says_what_and_what_instead() -> None:
    error = ConfigError("70000 is no port", "a number from 0 to 65535")
    assert (error.problem, error.remedy) == ("70000 is no port", "a number from 0 to 65535")
    assert str(error) == "70000 is no port"
    assert ConfigError("bad").remedy == ""


def test_start_error_has_its_exit_code() -> None:
    error = StartError(2, "failed to bind")
    assert (error.code, str(error)) == (2, "failed to bind")


def test_config_problem_holds_place_option_problem_remedy() -> None:
    item = ConfigProblem("/etc/x.conf line 3", "port", "70000 is no port", "0 to 65535")
    assert (item.place, item.option, item.problem, item.remedy) == (
        "/etc/x.conf line 3",
        "port",
        "70000 is no port",
        "0 to 65535",
    )
    assert repr(item) == "ConfigProblem('/etc/x.conf line 3', 'port', '70000 is no port', '0 to 65535')"
    assert eval(repr(item)).remedy == "0 to 65535"
    assert ConfigProblem("a", "b", "c").remedy == ""
    with pytest.raises(AttributeError):
        item.other = 1  # type: ignore[attr-defined]
