"""What materializations show beside their report: pictures of the state that they leave, and links to look at it.

What belongs here: turning stored rows into metadata. What does not: drawing (``observability.charts``), the report
(``results``), draws (``draw_metadata``). Names come from outside: what could mean something in Markdown is escaped.
"""

import re
from collections.abc import Sequence
from typing import Any

import dagster as dg

from spotify_pipelines.store.database import Database

__all__ = ["catalogue_growth", "features_coverage", "playlists_by_health"]

_LINKS = 20
_LONGEST_NAME = 80


def catalogue_growth(database: Database) -> dict[str, Any]:
    """How the catalogue came to be, and links to the albums that were read last."""
    from spotify_pipelines.observability.charts import growth_picture
    from spotify_pipelines.store.overview import albums_by_day, newest_albums

    with database.transaction() as session:
        added = albums_by_day(session)
        newest = newest_albums(session, _LINKS)
    picture = growth_picture("albums in the catalogue, by the day on which they were asked for", added)
    links = [(name, f"https://open.spotify.com/album/{id_}") for id_, name in newest]
    return _picture("catalogue_growth", picture) | _links("albums_read_last", links)


def features_coverage(database: Database) -> dict[str, Any]:
    """Whose features are known, from which source, and why the others' are not."""
    from spotify_pipelines.observability.charts import AMISS, WAITING, Bar, bars_picture
    from spotify_pipelines.store.queries import catalogue_counts

    with database.transaction() as session:
        counts = catalogue_counts(session)
    bars = [Bar(f"from {source}", number) for source, number in counts.features.items()]
    bars += [
        Bar(reason, number, WAITING if reason == "not asked yet" else AMISS)
        for reason, number in counts.missing.items()
    ]
    known = sum(counts.features.values())
    picture = bars_picture(f"audio features of {known:,} of {counts.tracks:,} tracks", bars)
    return {"features_known": known, "tracks": counts.tracks} | _picture("features_coverage", picture)


def playlists_by_health(database: Database) -> dict[str, Any]:
    """How many playlists are as they should be, what keeps the others, and links to those that were written last."""
    from spotify_pipelines.observability.charts import AMISS, FINE, WAITING, Bar, bars_picture
    from spotify_pipelines.store.overview import PlaylistHealth, newest_playlists, playlist_health

    colours = {PlaylistHealth.FINE: FINE, PlaylistHealth.QUARANTINED: AMISS, PlaylistHealth.FAILING: AMISS}
    with database.transaction() as session:
        health = playlist_health(session)
        newest = newest_playlists(session, _LINKS)
    bars = [Bar(each.value, number, colours.get(each, WAITING)) for each, number in health.items()]
    picture = bars_picture("playlists by health", bars)
    links = [(name, f"https://open.spotify.com/playlist/{id_}") for id_, name in newest]
    return _picture("playlists_by_health", picture) | _links("playlists_written_last", links)


def _picture(name: str, svg: str | None) -> dict[str, Any]:
    from spotify_pipelines.observability.drawing import as_markdown

    return {} if svg is None else {name: dg.MetadataValue.md(as_markdown(svg, name.replace("_", " ")))}


def _links(name: str, links: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A list of links in Markdown; ids are taken for what they are only if they look like Spotify's."""
    lines = [f"- [{_plain(text)}]({url})" for text, url in links if re.fullmatch(r"[\w:/.-]+", url)]
    return {name: dg.MetadataValue.md("\n".join(lines))} if lines else {}


def _plain(name: str) -> str:
    """A name on one line, in which nothing is markup."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())
    # Exactly ASCII's punctuation: before anything else a backslash is itself.
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text[:_LONGEST_NAME]) if text else "unnamed"
