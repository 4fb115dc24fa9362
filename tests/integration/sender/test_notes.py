"""Commitments and outcomes are written down in one statement, or one by one where that fails."""

import asyncio

import asyncpg

from chappe.clock import HandClock
from tests.integration.sender.place import PATIENCE_SECONDS, Script, a_sender
from tests.unit.sender.scripted_smtp import GATED


async def test_an_outcome_that_is_awaited_no_more_keeps_no_other_from_being_written(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_sender(pool, clock, Script(answers={"dot": GATED})) as place:
        for who in ("ada", "zoe"):
            await place.subscribe(who)
            await place.ask(who, f"m_{who}")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while place.smtp.unanswered < 2:
                await asyncio.sleep(0.005)
        # A report on it came before the server's own answer.
        await pool.execute("UPDATE sender.message SET state = 'bounced' WHERE id = 'm_ada'")
        place.smtp.script.gate.set()
        await place.until("m_zoe", "accepted")
        await place.settle()
        assert (await place.state("m_ada"))[0] == "bounced"
        told = [event.data["message"] for event in place.told("email.accepted")]
        assert told == ["m_zoe"]
        handed_over = [line.message for line in place.journal() if line.what == "handed_over"]
        assert handed_over == ["m_zoe"]
