"""A shard that has not read what was said ten seconds ago gives no marketing."""

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.events import EVENTS
from chappe_sender.application.lag import Lag


class Bench:
    def __init__(self) -> None:
        self.broker = MemoryBroker(2)
        self.read: dict[int, int] = {}
        self.now = 0.0
        self.lag = Lag(self.broker, lambda: self.read, lambda: self.now)

    async def say(self, shard: int) -> None:
        await self.broker.append(EVENTS, [Outgoing(shard, b"k", b'{"body":1}')])

    async def lagging(self, at: float) -> list[int]:
        self.now = at
        return await self.lag.shards({0: 1, 1: 1})


async def test_only_the_shard_that_stays_behind_waits_and_only_until_it_has_read() -> None:
    bench = Bench()
    await bench.say(0)
    await bench.say(1)
    assert await bench.lagging(0) == []
    bench.read = {1: 1}
    assert await bench.lagging(5) == []
    assert await bench.lagging(11) == [0]
    bench.read = {0: 1, 1: 1}
    assert await bench.lagging(12) == []


async def test_being_behind_now_and_then_is_not_lagging() -> None:
    bench = Bench()
    for n in range(30):
        await bench.say(0)
        assert await bench.lagging(n * 3) == []
        bench.read = {0: n + 1}


async def test_a_log_that_does_not_answer_holds_nothing_back() -> None:
    bench = Bench()
    await bench.say(0)
    bench.broker.away = True
    assert await bench.lagging(0) == []
