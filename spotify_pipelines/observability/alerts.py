"""What people are told without having looked: kinds of alerts, which of them are news, and the message.

What belongs here: the words, the grouping, and not saying the same thing twice. Pure. What does not: finding out
what is wrong (``incidents``), sending (``delivery``), who remembers what was told (``telling``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

__all__ = ["Alert", "Kind", "Message", "compose", "news"]

_LINES: Final = 10
_LONGEST_LINE: Final = 300
_LONGEST_TEXT: Final = 3_500
"""Slack shows a text of 4,000 signs in one piece."""


class Kind(Enum):
    """What an alert is about: what it means, and what to do. The most urgent ones come first."""

    BAN = (
        "Spotify has banned an app",
        "Nothing to press: what was due is put off and goes on by itself after the ban. 'spotify-pipelines calls "
        "--by app' shows what used the quota up; 'apps limit' or a budget keeps it from happening again.",
    )
    ACCESS_LOST = (
        "Many accounts were lost at once",
        "Look for a common cause first: a secret or app changed in Spotify's dashboard, a missing vault key, a "
        "lapsed subscription of the app's owner. 'spotify-pipelines accounts list' has the reason and the way back "
        "of each account; 'accounts connect' renews a consent.",
    )
    OUTAGE = (
        "No call of an app succeeds",
        "See whether Spotify is down for everybody and whether this machine reaches the internet. Work is put off "
        "and tried again by itself; 'spotify-pipelines calls --by endpoint' shows what fails.",
    )
    CONSENT_ENDS = (
        "Consents end within two weeks",
        "Have each user consent again with 'spotify-pipelines accounts connect'; afterwards nothing can be written "
        "to their playlists.",
    )
    RUN_FAILED = (
        "Runs failed",
        "Open the run in Dagster's UI: the red step has the error. Whatever had been committed stays; once the cause "
        "is mended, the next run goes on, or press Re-execute.",
    )
    DEAD_LETTERS = (
        "Albums were given up",
        "'spotify-pipelines albums list --failed' has the reasons; 'albums retry' queues them anew once the "
        "cause is mended.",
    )
    CONSENT_ENDS_SOON = (
        "Consents end within a month",
        "Ask each user to consent again with 'spotify-pipelines accounts connect'.",
    )

    def __init__(self, headline: str, action: str) -> None:
        self.headline = headline
        self.action = action


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong.

    Attributes:
        key: what makes it the same thing tomorrow.
        line: what is wrong, in one line.
        newest: when it last happened (aware UTC): it is told again only if it happens again. None: it is a state.
        at_most_every: it is told again no sooner, where that is longer than is asked for.
    """

    kind: Kind
    key: str
    line: str
    newest: datetime | None = None
    at_most_every: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Message:
    """Plain text; the subject is one line."""

    subject: str
    text: str

    def for_slack(self) -> dict[str, str]:
        """As Slack's incoming webhooks take it, and Mattermost's, Rocket.Chat's and others after them.

        >>> Message("s", "a < b & c").for_slack()
        {'text': 'a &lt; b &amp; c'}
        """
        text = self.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": text}


def news(
    alerts: Iterable[Alert], told: Mapping[str, datetime], now: datetime, again_after: timedelta
) -> list[Alert]:
    """The alerts that were not told within ``again_after``, nor since they last happened."""

    def is_news(alert: Alert) -> bool:
        last = told.get(alert.key)
        if last is None:
            return True
        if alert.newest is not None and alert.newest <= last:
            return False
        return now - last >= max(again_after, alert.at_most_every)

    return [alert for alert in alerts if is_news(alert)]


def compose(alerts: Sequence[Alert], world: str) -> Message:
    """One message for all: by kind, most urgent first, each with what to do.

    >>> compose([Alert(Kind.BAN, "b", "studio, until 14:00 UTC")], "live").subject
    '[live] Spotify pipelines: Spotify has banned an app'
    """
    kinds = [kind for kind in Kind if any(alert.kind is kind for alert in alerts)]
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    subject = f"[{world}] Spotify pipelines: {kinds[0].headline}{more}"
    parts = [_part(kind, [alert.line for alert in alerts if alert.kind is kind]) for kind in kinds]
    text = "\n\n".join([subject, *parts])
    return Message(subject, text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…")


def _part(kind: Kind, lines: Sequence[str]) -> str:
    shown = [f"• {_one_line(line)}" for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"• and {len(lines) - _LINES} more")
    return "\n".join([f"{kind.headline}:", *shown, f"What to do: {kind.action}"])


def _one_line(text: str) -> str:
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return plain if len(plain) <= _LONGEST_LINE else f"{plain[: _LONGEST_LINE - 1]}…"
