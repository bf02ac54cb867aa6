"""One night that is fired twice at once: measured once, decided once, the same as fired once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.flows.command import Command
from tests.flows.smoke import Night, lake_digest, night_arguments
from warehouse.lake import Lake

_TWICE = """
    SELECT subject_id, role, suite, suite_digest, metric, count(*) AS times
    FROM evaluations GROUP BY ALL HAVING count(*) > 1
"""


@pytest.mark.kill
def test_a_night_fired_twice_at_once_is_measured_and_decided_once(
    smoke_night: Night, alone: Mapping[str, str], tmp_path: Path
) -> None:
    arguments = night_arguments(tmp_path, smoke_night.teacher)
    with Command(arguments, alone) as first, Command(arguments, alone) as second:
        outcomes = [first.wait(), second.wait()]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    assert lake_digest(tmp_path) == lake_digest(smoke_night.data)
    with Lake.open(tmp_path) as lake:
        assert lake.query(_TWICE).num_rows == 0
        assert lake.query("select * from promotions").num_rows == 1
        assert len(lake.manifest.ledger().champions["smoke"]) == 1
        champion = lake.manifest.champion("smoke")
    assert (tmp_path / "champion" / "smoke").resolve(strict=True).name == champion
