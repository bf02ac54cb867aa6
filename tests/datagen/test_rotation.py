"""Which server is asked next, and when a request is asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.engine_config import EngineConfig
from datagen.engines.openai_engine import backoff_s, retry_after_s
from datagen.engines.rotation import Rotation

URLS = ["a", "b", "c"]


def test_servers_take_turns() -> None:
    rotation = Rotation.of(URLS, 1.0, 60.0)
    assert [rotation.take(0.0) for _ in range(6)] == [(url, 0.0) for url in [*URLS, *URLS]]


def test_a_failing_server_is_left_out_for_a_time_that_doubles() -> None:
    rotation, now_s, waits = Rotation.of(URLS, 1.0, 60.0), 0.0, []
    for _ in range(12):
        waits.append(rotation.failed("b", now_s, None))
        if waits[-1]:
            assert {rotation.take(now_s)[0] for _ in range(9)} == {"a", "c"}
        now_s += waits[-1]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    rotation.worked("b", now_s)
    assert rotation.failed("b", now_s, None) == 0
    assert {rotation.take(now_s)[0] for _ in range(3)} == {*URLS}


def test_one_outage_with_many_requests_under_way_is_one_failure() -> None:
    rotation = Rotation.of(URLS, 1.0, 60.0)
    assert sum(rotation.failed("a", 5.0, None) for _ in range(50)) == 1.0
    assert rotation.failed("a", 6.0, None) == 2.0


def test_a_late_answer_of_a_server_that_is_out_does_not_end_its_outage() -> None:
    """It was asked for before: the next failure waits twice as long, not from the start again."""
    rotation, now_s, waits = Rotation.of(URLS, 1.0, 60.0), 0.0, []
    for _ in range(6):
        waits.append(rotation.failed("b", now_s, None))
        if waits[-1]:
            rotation.worked("b", now_s + waits[-1] / 2)
            assert {rotation.take(now_s)[0] for _ in range(9)} == {"a", "c"}
        now_s += waits[-1]
    assert waits == [0, 0, 1, 2, 4, 8]
    rotation.worked("b", now_s)
    assert rotation.failed("b", now_s, None) == 0


def test_the_wait_that_a_server_asks_for_is_kept_within_the_bound() -> None:
    rotation = Rotation.of(["a"], 1.0, 60.0)
    assert rotation.failed("a", 0.0, 7.0) == 7.0
    assert rotation.take(2.0) == ("a", 5.0)
    assert rotation.failed("a", 2.0, 3600.0) == 60.0
    assert rotation.take(2.0) == ("a", 60.0)


@given(
    events=st.lists(
        st.tuples(st.sampled_from(URLS), st.sampled_from(["worked", "failed"]), st.floats(0, 5)),
        max_size=60,
    )
)
def test_nobody_waits_while_a_server_is_in(events: list[tuple[str, str, float]]) -> None:
    rotation, now_s = Rotation.of(URLS, 0.5, 8.0), 0.0
    out_until_s = dict.fromkeys(URLS, 0.0)
    for url, event, passed_s in events:
        now_s += passed_s
        if event == "worked":
            rotation.worked(url, now_s)
        else:
            out_s = rotation.failed(url, now_s, None)
            assert out_s <= 8.0
            out_until_s[url] = max(out_until_s[url], now_s + out_s)
        chosen, wait_s = rotation.take(now_s)
        assert wait_s == max(min(out_until_s.values()) - now_s, 0.0)
        assert out_until_s[chosen] - now_s <= wait_s


def test_waits_double_are_bounded_and_follow_from_the_seed() -> None:
    config = EngineConfig(
        kind="openai", urls=("http://a/v1",), model="m", first_wait_s=0.5, max_wait_s=30
    )
    for tries in range(100):
        longest_s = min(0.5 * 2**tries, 30)
        waits = [backoff_s(config, seed, tries) for seed in range(50)]
        assert waits == [backoff_s(config, seed, tries) for seed in range(50)]
        assert all(longest_s / 2 <= wait_s < longest_s for wait_s in waits)
        assert len({*waits}) == 50


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        (" 0 ", 0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("1e3", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after_s("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 10**9
