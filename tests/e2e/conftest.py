from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.box import Box
from tests.e2e.journeys import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One demo for all tests that only look and add."""
    made = Box(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One demo whose clock is moved, by years, for all journeys; each test has its own people.

    Calls to servers on this machine are allowed.
    """
    data = tmp_path_factory.mktemp("stage") / "data"
    made = Box(data, env={"CHAPPE_OUTBOUND_LOOPBACK": "true"})
    try:
        yield Stage(made)
    finally:
        made.end()


@pytest.fixture
def new_box(tmp_path: Path) -> Iterator[Callable[..., Box]]:
    """Boxes of this test's own, on one data directory; nothing is left of them."""
    made: list[Box] = []

    def make(*, demo: bool = True, **env: str) -> Box:
        made.append(Box(tmp_path / "data", demo=demo, env=env))
        return made[-1]

    yield make
    for each in made:
        each.end()
