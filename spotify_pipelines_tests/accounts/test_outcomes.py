"""What each error of the client says about an account's health."""

from datetime import UTC, datetime

import pytest

from spotify_pipelines.accounts.health import Outcome
from spotify_pipelines.accounts.outcomes import outcome_of
from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    BadRequest,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)

PUT = "PUT /playlists/{id}/items"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Unavailable("", endpoint=PUT), Outcome.TRANSIENT_FAILURE),
        (MalformedAnswer("", endpoint=PUT), Outcome.TRANSIENT_FAILURE),
        (Ambiguous("", endpoint="POST /me/playlists"), Outcome.TRANSIENT_FAILURE),
        (AuthorizationLost("", reason=LostReason.REFUSED_AFTER_REFRESH), Outcome.TOKEN_REFUSED),
        (Forbidden("", reason=ForbiddenReason.SCOPE), Outcome.SCOPE_MISSING),
        (Forbidden("", reason=ForbiddenReason.NOT_REGISTERED), Outcome.NOT_REGISTERED),
        (Forbidden("", reason=ForbiddenReason.PREMIUM), Outcome.PREMIUM_LAPSED),
        # the request's fault, the app's, or taken down where it happened
        (Forbidden("", reason=ForbiddenReason.ENDPOINT_OR_OWNER), None),
        (Forbidden("", reason=ForbiddenReason.OWNER_PREMIUM), None),
        (NotFound(""), None),
        (BadRequest(""), None),
        (RateLimited(""), None),
        (QuotaExceeded("", until=NOW), None),
        (AuthorizationLost("", reason=LostReason.CONSENT_GONE), None),
        (AuthorizationLost("", reason=LostReason.APP_REFUSED), None),
        (Unavailable("", endpoint="POST /api/token"), None),
        (MalformedAnswer("", endpoint="POST /api/token"), None),
        (ValueError(""), None),
    ],
)
def test_only_what_the_account_is_to_blame_for_counts_against_it(
    error: SpotifyError | ValueError, outcome: Outcome | None
) -> None:
    assert outcome_of(error) is outcome
