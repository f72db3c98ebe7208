"""Invented names of artists, albums and tracks: plausible, and nobody's.

Word lists and the rules that combine them; nothing here knows about ids, sizes or Spotify.
"""

from random import Random

__all__ = ["album_title", "artist_name", "track_title"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


_FIRST = _words(
    "Ada Alma Amara Anouk Aurel Bela Bruno Calla Cato Dara Dov Edda Elio Esme Farid Freya Goran Greta "
    "Hana Hugo Ida Ilan Ines Ivo Jael Jonas Juno Kaya Kiran Lale Leif Lior Maren Mateo Mila Nadia Nils "
    "Noor Odile Oskar Paloma Petra Quinn Rafi Renata Rhea Sami Selma Silvan Tamar Tilda Umi Vera Viggo "
    "Wanda Xenia Yara Yusuf Zelda Zoran"
)
_LAST = _words(
    "Abend Almeida Arkwright Bellweather Birk Brandt Calloway Castellan Dahl Delacroix Eastman Ekström "
    "Fairfax Ferro Galloway Grünwald Hale Holloway Iversen Jansson Karim Kestrel Kowal Lachance Lindqvist "
    "Marlowe Mbeki Moreau Nakagawa Nightingale Okafor Oyelaran Pascoe Penhallow Quist Rask Rosenthal "
    "Sable Santoro Silverman Sørensen Tanaka Thorne Ulvang Underhill Valdez Vasquez Wexler Whitlock "
    "Yamane Yarrow Zabel Zielinski Åkerman"
)
_ADJECTIVES = _words(
    "Amber Ancient Binary Blue Broken Burning Clockwork Cold Copper Crooked Distant Electric Empty Faded "
    "Feral Gilded Golden Hidden Hollow Idle Invisible Ivory Last Lucid Lunar Magnetic Midnight Neon "
    "Nocturnal Northern Paper Pale Quiet Restless Rusty Scarlet Second Silent Slow Solar Stray Sudden "
    "Tender Velvet Violet Wandering White Wild"
)
_NOUNS = _words(
    "Anchor Antenna Arcade Arrow Atlas Avenue Balcony Beacon Bloom Cabin Canyon Carousel Cassette Chapel "
    "Cinema City Compass Current Diary Echo Ember Engine Feather Fjord Fever Field Garden Ghost Glacier "
    "Harbor Horizon Island Lantern Letter Lighthouse Machine Mirror Mountain Orchard Parade Planet Radio "
    "Rain River Satellite Season Shadow Signal Station Stranger Summer Theatre Tide Tower Train Valley "
    "Weather Window Winter Raven"
)


def artist_name(rank: int) -> str:
    """The name of the artist of ``rank`` (0 = most frequent); all ranks differ."""
    pattern, number = rank % 3, rank // 3
    first, second = (_FIRST, _LAST) if pattern == 0 else (_ADJECTIVES, _NOUNS)
    combinations = len(first) * len(second)
    # A stride that shares no factor with the lists' lengths walks through all pairs without an alphabet showing.
    pair = number * 7919 % combinations
    name = f"{first[pair % len(first)]} {second[pair // len(first)]}"
    generation = number // combinations
    suffix = f" {generation + 1}" if generation else ""
    return (f"The {_plural(name)}" if pattern == 1 else name) + suffix


def album_title(rng: Random) -> str:
    """A title for an album; titles may repeat, as real ones do."""
    adjective, noun, other = rng.choice(_ADJECTIVES), rng.choice(_NOUNS), rng.choice(_NOUNS)
    return rng.choice(
        (f"{adjective} {noun}", f"The {noun}", f"{noun} & {other}", f"Songs for the {adjective} {noun}", noun)
    )


def track_title(rng: Random) -> str:
    """A title for a track, at times with the additions that titles carry."""
    adjective, noun, other = rng.choice(_ADJECTIVES), rng.choice(_NOUNS), rng.choice(_NOUNS)
    title = rng.choice(
        (
            f"{adjective} {noun}",
            f"{noun} of {_plural(other)}",
            f"{adjective}",
            f"{noun}, {other}",
            f"My {noun}",
        )
    )
    addition = rng.choices(("", " - Live", " - Remastered", " (Interlude)"), weights=(90, 4, 4, 2))[0]
    return title + addition
