"""Which calls a sync needs, and the fewest that could have done it.

What belongs here: pure decisions over plain values: what differs between desired and confirmed state, whether
to look at an account by its listing or playlist by playlist, what a look says, when a creation may be sent
again. What does not: making a call, reading or storing a row.

The minimum, per account with n playlists in its library and m due ones that exist already::

    look    0            nothing due, or only creations none of which was ever sent
            ⌈n/50⌉ + d   the listing, where ⌈n/50⌉ ≤ m or a sent creation is unresolved; d due playlists whose
                         listed snapshot id is none of ours have their items read
            m            else one GET each; it embeds the items, so that moved ones cost nothing more
    writes  unchanged 0 · details 1 · cover 1 · items ⌈k/100⌉ · create and fill 1 + ⌈k/100⌉

A playlist that is to be read back (``read_backs``) is looked at by the listing, which shows twins, and read.
Token endpoint, probes and sampled read-backs stand apart. ``docs/calls.md`` says why no term can be left out.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

__all__ = [
    "ITEMS_PER_CALL",
    "LISTING_PAGE",
    "LONGEST_HIDDEN",
    "SETTLE_WINDOW",
    "Content",
    "DetailsChange",
    "Look",
    "Sight",
    "SyncNeeds",
    "Write",
    "appends_for",
    "details_change",
    "is_sampled",
    "items_hash",
    "listing_pages",
    "look_calls",
    "look_for",
    "may_send_again",
    "minimum_by_endpoint",
    "minimum_calls",
    "sight_of",
    "writes_for",
]

ITEMS_PER_CALL: Final = 100
"""Items that one call writes."""

LISTING_PAGE: Final = 50
"""Playlists per call of the listing."""

SETTLE_WINDOW: Final = timedelta(seconds=120)
"""The time within which a playlist that was created, or a write, may be counted on to be visible to its owner."""

LONGEST_HIDDEN: Final = timedelta(hours=1)
"""A playlist that is missing from its owner's listing for longer was deleted. A listing that lags behind for more
than ``SETTLE_WINDOW`` costs a twin, which is mended; taken for a deletion, it would cost one with another marker."""


class Write(StrEnum):
    """One writing call."""

    CREATE = "create"
    FILL = "fill"
    DETAILS = "details"
    COVER = "cover"
    ITEMS = "items"


class Look(StrEnum):
    """How to see what an account's playlists are now."""

    NONE = "none"
    LISTING = "listing"
    SINGLE = "single"


class Sight(StrEnum):
    """What a look says about one playlist."""

    UNMOVED = "unmoved"
    MOVED = "moved"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Content:
    """All of a playlist that we decide on.

    Attributes:
        description: plain text, marker included.
        cover: the picture's digest; None: whatever Spotify makes of the items, or the owner chose.
    """

    items_hash: str
    name: str
    description: str
    public: bool
    cover: str | None = None


@dataclass(frozen=True, slots=True)
class DetailsChange:
    """What a details call has to say; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    public: bool | None = None

    def __bool__(self) -> bool:
        return (self.name, self.description, self.public) != (None, None, None)


def items_hash(uris: Sequence[str | None]) -> str:
    """A digest of URIs in their order; None stands for a place that shows no URI.

    >>> items_hash(["a", "b"]) == items_hash(["b", "a"])
    False
    """
    return hashlib.sha256("\n".join(uri or "" for uri in uris).encode()).hexdigest()[:32]


def details_change(desired: Content, confirmed: Content) -> DetailsChange:
    """The fields besides the items in which ``desired`` differs; falsy where there is none."""
    return DetailsChange(
        name=desired.name if desired.name != confirmed.name else None,
        description=desired.description if desired.description != confirmed.description else None,
        public=desired.public if desired.public != confirmed.public else None,
    )


def writes_for(desired: Content, confirmed: Content | None) -> tuple[Write, ...]:
    """The writing calls that lead from ``confirmed`` (None: not on Spotify) to ``desired``, in order.

    Details and cover go before items: only the items' answer names the snapshot id that all lead to. A cover can
    be replaced and not taken away, so that where none is desired, the one that is there stays.
    """
    cover = (Write.COVER,) if desired.cover not in (None, confirmed.cover if confirmed else None) else ()
    if confirmed is None:
        return (Write.CREATE, *cover, Write.FILL)
    details = (Write.DETAILS,) if details_change(desired, confirmed) else ()
    items = (Write.ITEMS,) if desired.items_hash != confirmed.items_hash else ()
    return (*details, *cover, *items)


def appends_for(items: int) -> int:
    """Calls that a list of so many items takes beyond the one that replaces the content.

    >>> appends_for(50), appends_for(100), appends_for(101)
    (0, 0, 1)
    """
    return max(0, -(-items // ITEMS_PER_CALL) - 1)


def listing_pages(playlists: int) -> int:
    """Calls of a listing of so many playlists: ⌈n/50⌉, and one for an empty library."""
    return max(1, -(-playlists // LISTING_PAGE))


def look_for(*, existing_due: int, library: int, unresolved: bool) -> Look:
    """How to look at an account: nothing to see, the listing, or one read per due playlist.

    At equal cost the listing is the better look: it alone shows what the owner has unfollowed.

    Args:
        existing_due: due playlists that are on Spotify.
        library: playlists in the account's library, as far as known.
        unresolved: a creation was sent, here or by a run that is gone, whose outcome only the listing can show.
    """
    if unresolved:
        return Look.LISTING
    if not existing_due:
        return Look.NONE
    return Look.LISTING if listing_pages(library) <= existing_due else Look.SINGLE


def look_calls(look: Look, *, existing_due: int, library: int) -> int:
    """What a look costs."""
    return {Look.NONE: 0, Look.LISTING: listing_pages(library), Look.SINGLE: existing_due}[look]


@dataclass(slots=True)
class SyncNeeds:
    """What an account's sync turned out to need.

    Attributes:
        existing_due: due playlists that were on Spotify when the sync began.
        library: playlists in the account's library, as the look showed it.
        unresolved: the outcome of something that was sent had to be found out.
        moved: due playlists with a snapshot id that is none of ours.
        read_backs: playlists that were read although their snapshot id is ours, to be sure of them, and twins.
        twins: playlists that a creation made twice, and that were removed.
        creations: playlists to be created.
        items: playlists to be filled, or whose items differ.
        details: playlists whose name, description or visibility differs.
        covers: playlists whose cover differs.
        appends: further hundreds of items, of versions that were brought back with more than one.
    """

    existing_due: int = 0
    library: int = 0
    unresolved: bool = False
    moved: int = 0
    read_backs: int = 0
    twins: int = 0
    creations: int = 0
    items: int = 0
    details: int = 0
    covers: int = 0
    appends: int = 0

    def __add__(self, other: "SyncNeeds") -> "SyncNeeds":
        """What further playlists of the same account, and of the same library, need on top."""
        return SyncNeeds(
            existing_due=self.existing_due + other.existing_due,
            library=max(self.library, other.library),
            unresolved=self.unresolved or other.unresolved,
            moved=self.moved + other.moved,
            read_backs=self.read_backs + other.read_backs,
            twins=self.twins + other.twins,
            creations=self.creations + other.creations,
            items=self.items + other.items,
            details=self.details + other.details,
            covers=self.covers + other.covers,
            appends=self.appends + other.appends,
        )


def minimum_by_endpoint(needs: SyncNeeds) -> dict[str, int]:
    """The fewest calls of an account's sync, by the formula of this module; endpoints without any left out."""
    look = look_for(existing_due=needs.existing_due, library=needs.library, unresolved=needs.unresolved)
    looks = look_calls(look, existing_due=needs.existing_due, library=needs.library)
    reads = needs.moved + needs.read_backs if look is Look.LISTING else 0
    calls = {
        "GET /me/playlists": looks if look is Look.LISTING else 0,
        "GET /playlists/{id}": reads + (looks if look is Look.SINGLE else 0),
        "POST /me/playlists": needs.creations,
        "PUT /playlists/{id}": needs.details,
        "PUT /playlists/{id}/images": needs.covers,
        "PUT /playlists/{id}/items": needs.items,
        "POST /playlists/{id}/items": needs.appends,
        "DELETE /me/library": needs.twins,
    }
    return {endpoint: number for endpoint, number in calls.items() if number}


def minimum_calls(needs: SyncNeeds) -> int:
    """The sum of ``minimum_by_endpoint``.

    >>> minimum_calls(SyncNeeds(creations=6, items=6)), minimum_calls(SyncNeeds(existing_due=6, library=6, items=6))
    (12, 7)
    """
    return sum(minimum_by_endpoint(needs).values())


def sight_of(present: bool, snapshot_id: str | None, ours: Collection[str]) -> Sight:
    """What a look says: ``ours`` are all snapshot ids that Spotify ever gave us for the playlist.

    An older one of ours is not a move: the newest becomes visible only half a minute after the write.
    """
    if not present:
        return Sight.MISSING
    return Sight.UNMOVED if snapshot_id is not None and snapshot_id in ours else Sight.MOVED


def may_send_again(sent_at: datetime, looked_at: datetime) -> bool:
    """Whether a listing of ``looked_at`` without the marker proves that what was sent made no playlist."""
    return looked_at >= sent_at + SETTLE_WINDOW


def is_sampled(share: float, playlist_id: int, snapshot_row: int) -> bool:
    """Whether this write is among the ``share`` (0 to 1) that is read back; the same each time it is asked.

    >>> [is_sampled(share, 1, 1) for share in (0.0, 1.0)]
    [False, True]
    """
    digest = hashlib.sha256(f"{playlist_id}/{snapshot_row}".encode()).digest()
    return int.from_bytes(digest[:4]) < share * 2**32
