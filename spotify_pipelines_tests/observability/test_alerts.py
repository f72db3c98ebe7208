"""Alerts: nothing twice, nothing lost, one message with what to do."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.alerts import Alert, Kind, compose, news

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

alerts = st.lists(
    st.builds(Alert, st.sampled_from(Kind), st.text(max_size=9), st.text(max_size=500)),
    min_size=1,
    max_size=60,
)


def ban(**details: object) -> Alert:
    return Alert(Kind.BAN, "ban:1", "studio", **details)  # type: ignore[arg-type]


def test_what_was_not_told_yet_is_news() -> None:
    assert news([ban()], {}, NOW, DAY) == [ban()]
    assert news([ban()], {"ban:2": NOW}, NOW, DAY) == [ban()]


def test_the_same_incident_is_told_again_only_after_the_pause() -> None:
    assert news([ban()], {"ban:1": NOW - 23 * HOUR}, NOW, DAY) == []
    assert news([ban()], {"ban:1": NOW - 24 * HOUR}, NOW, DAY) == [ban()]
    rare = ban(at_most_every=timedelta(days=7))
    assert news([rare], {"ban:1": NOW - 24 * HOUR}, NOW, DAY) == []
    assert news([rare], {"ban:1": NOW - 7 * DAY}, NOW, DAY) == [rare]


def test_what_did_not_happen_again_is_not_told_again() -> None:
    told = {"ban:1": NOW - 2 * DAY}
    assert news([ban(newest=NOW - 2 * DAY)], told, NOW, DAY) == []
    assert news([ban(newest=NOW - DAY)], told, NOW, DAY) != []


@given(alerts)
def test_one_message_names_every_kind_with_what_to_do_and_stays_short(found: list[Alert]) -> None:
    message = compose(found, "live")
    assert message.subject.isprintable()
    assert message.subject.startswith("[live] ")
    assert len(message.text) <= 3_500
    if len(message.text) < 3_500:
        for kind in {alert.kind for alert in found}:
            assert kind.headline in message.text
            assert f"What to do: {kind.action}" in message.text
    assert all(line.isprintable() for line in message.text.split("\n"))


def test_the_most_urgent_comes_first_and_the_rest_is_counted() -> None:
    dead = [Alert(Kind.DEAD_LETTERS, f"d{n}", f"line {n}") for n in range(12)]
    message = compose([*dead, ban()], "sandbox")
    assert message.subject == "[sandbox] Spotify pipelines: Spotify has banned an app and 1 more"
    assert message.text.index("studio") < message.text.index("line 0")
    assert "• and 2 more" in message.text
    assert "line 10" not in message.text


def test_no_text_from_outside_means_anything_to_slack() -> None:
    text = compose([Alert(Kind.BAN, "b", "<!channel> & <https://evil|here>\nnew line")], "live").for_slack()[
        "text"
    ]
    assert "&lt;!channel&gt; &amp; &lt;https://evil|here&gt; new line" in text
    assert "<" not in text
