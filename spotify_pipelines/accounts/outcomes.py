"""What an error of the Spotify client means for an account's health.

What belongs here: one table from errors to outcomes. What does not: the errors (``spotify.errors``) and what
outcomes lead to (``health``).
"""

from spotify_pipelines.accounts.health import Outcome
from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    SpotifyError,
    Unavailable,
)

__all__ = ["outcome_of"]

_TOKEN_ENDPOINT = "/api/token"  # noqa: S105 - a path

_FORBIDDEN = {
    ForbiddenReason.SCOPE: Outcome.SCOPE_MISSING,
    ForbiddenReason.NOT_REGISTERED: Outcome.NOT_REGISTERED,
    ForbiddenReason.PREMIUM: Outcome.PREMIUM_LAPSED,
}


def outcome_of(error: BaseException) -> Outcome | None:
    """What to record for the account whose call raised ``error``; None where the account is not to blame.

    Not to blame: rate limits, bans and the owner's lapsed Premium (the app's), a missing playlist or a bad body
    (the request's), an endpoint that the app's regime lacks, and trouble with tokens, which ``credentials`` records
    where it happens.

    >>> outcome_of(Unavailable("503", endpoint="PUT /playlists/{id}/items")).value
    'transient_failure'
    >>> outcome_of(Unavailable("503", endpoint="POST /api/token")) is None
    True
    """
    match error:
        case AuthorizationLost(reason=LostReason.REFUSED_AFTER_REFRESH):
            return Outcome.TOKEN_REFUSED
        case Forbidden(reason=reason):
            return _FORBIDDEN.get(reason)
        case SpotifyError(endpoint=endpoint) if endpoint.endswith(_TOKEN_ENDPOINT):
            return None
        case Ambiguous() | Unavailable() | MalformedAnswer():
            return Outcome.TRANSIENT_FAILURE
        case _:
            return None
