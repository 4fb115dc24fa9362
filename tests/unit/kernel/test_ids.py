"""Ids that say the same thing when asked again."""

import pytest

from chappe.ids import derived, murmur2, partition_of


def test_parts_do_not_run_into_each_other() -> None:
    assert derived("m_", "a", "bc") != derived("m_", "ab", "c")
    assert derived("m_", "a", "bc") == derived("m_", "a", "bc")


@pytest.mark.parametrize(
    ("key", "expected"),  # from Apache Kafka's own UtilsTest.testMurmur2
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_go_where_the_java_client_would_put_them(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF
    assert 0 <= partition_of(key, 64) < 64
