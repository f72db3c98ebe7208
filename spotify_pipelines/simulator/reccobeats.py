"""ReccoBeats' audio features, for the tracks that it knows.

One to forty ids per call; what it doesn't know is left out, the order is nobody's, and there is no
``time_signature``: clients have to join on ``href``.
"""

import uuid
from dataclasses import asdict

from spotify_pipelines.simulator.catalogue import Features, digest
from spotify_pipelines.simulator.clock import iso
from spotify_pipelines.simulator.errors import Refusal
from spotify_pipelines.simulator.exchange import Call, Endpoint, Reply, Service

__all__ = ["ENDPOINTS"]

_MOST_IDS = 40
_BAD_IDS = 4004


def _get_features(call: Call) -> Reply:
    ids = [part.strip() for part in call.query.get("ids", "").split(",") if part.strip()]
    if not 1 <= len(ids) <= _MOST_IDS:
        raise Refusal(
            400,
            {
                "timestamp": iso(call.now),
                "code": _BAD_IDS,
                "error": f"ids size must be between 1 and {_MOST_IDS}",
                "path": call.path,
            },
        )
    tracks = [call.state.catalogue.track(track_id) for track_id in dict.fromkeys(ids)]
    known = [(track.id, track.reccobeats_features) for track in tracks if track]
    content = [_view(track_id, features) for track_id, features in known if features]
    return Reply(200, {"content": sorted(content, key=lambda view: digest(str(view["id"])))})


def _view(track_id: str, features: Features) -> dict[str, object]:
    values: dict[str, object] = asdict(features)
    del values["time_signature"]
    own_id = uuid.UUID(
        int=digest(f"reccobeats/id/{track_id}") << 64 | digest(f"reccobeats/{track_id}/id"), version=4
    )
    return {"id": str(own_id), "href": f"https://open.spotify.com/track/{track_id}", **values}


ENDPOINTS = (
    Endpoint("GET", "/reccobeats/v1/audio-features", _get_features, "reccobeats", Service.RECCOBEATS),
)
