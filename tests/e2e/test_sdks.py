"""Segment's and RudderStack's own Python SDKs against a running box: only the host is changed."""

from typing import Any

import pytest
import rudderstack.analytics.client as rudder
import segment.analytics.client as segment

from tests.e2e.box import Box, until

CLIENTS: dict[str, Any] = {"segment": segment.Client, "rudderstack": rudder.Client}


def client(name: str, key: str, url: str) -> Any:
    return CLIENTS[name](key, host=url, sync_mode=True, max_retries=1, timeout=10)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(CLIENTS))
def test_an_sdk_identifies_and_tracks(box: Box, name: str) -> None:
    source = {"kind": "segment", "name": f"sdk-{name}"}
    key = box.api("POST", "/api/v1/sources", source).json()["secret"]
    sdk = client(name, key, box.url)
    email = f"{name}@example.com"
    sdk.identify(f"user-{name}", {"email": email, "firstName": "Zoé"})
    bought: dict[str, Any] = {
        "order_id": f"o-{name}",
        "total": 25.9,
        "currency": "EUR",
        "products": [],
    }
    sdk.track(f"user-{name}", "Order Completed", bought)

    def known() -> Any:
        found = box.api("GET", f"/api/v1/contacts/email:{email}")
        return found.json() if found.status_code == 200 else None

    contact = until(known)
    assert contact["traits"]["first_name"] == "Zoé"

    def ordered() -> Any:
        timeline = box.api("GET", f"/api/v1/contacts/email:{email}/timeline").json()
        return [each for each in timeline["items"] if each["name"] == "order.placed"]

    assert len(until(ordered)) == 1
    status = box.api("GET", f"/api/v1/sources/sdk-{name}").json()
    assert status["refused"] == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(CLIENTS))
def test_an_sdk_with_a_wrong_key_is_refused(box: Box, name: str) -> None:
    sdk = client(name, "wk_nobody_has_this", box.url)
    with pytest.raises(Exception, match=r"401|key|nauthor|code"):
        sdk.identify("user-x", {"email": "x@example.com"})
