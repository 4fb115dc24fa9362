"""The sender's question and the edge's answer: does returned mail reach us?"""

from chappe_sender.adapters.smtp.door import Door
from chappe_sender.domain.domain_check import Look, Result, ReturnTest
from tests.unit.ingest.returns import returns
from tests.unit.sender.fake_names import FakeNames

DOMAIN = "bounce.shop.example"


async def test_our_own_intake_is_known_by_what_it_takes_and_what_it_refuses() -> None:
    async with returns() as desk:
        local = desk.door.tokens.sign_return("b", "m_probe")
        assert local is not None
        forged = local[:-4] + ("a" if local[-4] != "a" else "b") + local[-3:]
        door = Door("out.shop.example", port=desk.port)
        names = FakeNames({(DOMAIN, "MX"): ("10 localhost.",)})
        test = ReturnTest(door, f"{local}@{DOMAIN}", f"{forged}@{DOMAIN}")
        found = await Look(names, "shop.example", (), DOMAIN, test).returned()
        assert found is not None
        assert found.result is Result.PASS, found.detail
        strange = ReturnTest(door, f"b-someone@{DOMAIN}", f"b-else@{DOMAIN}")
        found = await Look(names, "shop.example", (), DOMAIN, strange).returned()
        assert found is not None
        assert found.result is Result.FAIL
        assert desk.kept() == []
