"""Every service keeps the contract that its OpenAPI describes, whatever it is sent."""

from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from tests.e2e.box import Box

EXAMPLES = 12
"""Of each operation: strange, within what the schema allows and beyond it."""

SECONDS_MAX = 20
LEFT_OUT = ("/api/v1/live", "/api/v1/demo/")
"""A stream that never ends; and the demo's clock, which moves for everybody."""

CHECKS: Any = [
    cast("Any", checks).not_a_server_error,
    cast("Any", openapi_checks).response_schema_conformance,
]
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Of its own: what random requests leave behind (a stop, an endpoint) is no other test's."""
    made = Box(tmp_path_factory.mktemp("contract") / "data")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def described(box: Box) -> list[Any]:
    document = httpx.get(f"{box.url}/openapi.json").json()
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=box.url)
    found = [each.ok() for each in schema.get_all_operations()]
    return [each for each in found if not each.path.startswith(LEFT_OUT)]


def test_no_request_is_an_error_of_ours(box: Box, described: list[Any]) -> None:
    """Nor an answer of a shape that the description does not know."""
    assert len(described) > 20
    head = {"Authorization": f"Bearer {box.token}"}
    wrong: list[str] = []
    for operation in described:

        @QUICK
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(headers=head, timeout=SECONDS_MAX)
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except BaseExceptionGroup as error:
            said = [str(each) for each in error.exceptions]
            wrong.append(f"{operation.method.upper()} {operation.path}: {said}")
    assert not wrong, "\n\n".join(wrong)
