"""Fixtures that several test files share."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from harness import ALONE, REC, Daemon, MakeDaemon


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Iterator[MakeDaemon]:
    """Make daemons that are stopped at the end, and look for tracebacks."""
    made: list[Daemon] = []

    def build(conf: str = ALONE + REC, **more: object) -> Daemon:
        daemon = Daemon(tmp_path / f"d{len(made)}", conf, **more)  # type: ignore[arg-type]
        made.append(daemon)
        return daemon

    yield build
    for daemon in made:
        daemon.stop()
    for daemon in made:
        assert "Traceback" not in daemon.stderr() + daemon.log()
