"""What texts and conditions are shown of a contact."""

import datetime as dt

from chappe_orchestrator.domain import Profile
from chappe_orchestrator.domain.facts import Known

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)


def test_the_score_is_shown_as_it_has_decayed() -> None:
    month = dt.timedelta(days=30)
    profile = Profile(score=80, score_at=NOW - month)
    assert Known(profile, {}, now=NOW, half_life=month).contact["score"] == 40
