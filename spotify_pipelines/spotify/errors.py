"""Everything that can go wrong with a call, as types.

::

    SpotifyError
    ├── RateLimited        429, short: too many calls just now; retried already, transient
    ├── QuotaExceeded      429, long or QUOTA_EXCEEDED: nothing may be called before ``until``
    ├── AuthorizationLost  the token, the consent or the app's secret is refused (``reason``)
    ├── Forbidden          403: permanent, ``reason`` says whose rule it is
    ├── NotFound           404, or null in a batch: gone, private, or Spotify's own
    ├── BadRequest         400 and other 4xx: what we sent is wrong
    ├── Ambiguous          a create or append whose effect is unknown: look before asking again
    ├── Unavailable        5xx, time-outs, broken connections, all attempts spent
    └── MalformedAnswer    not JSON, not the promised shape, a redirect, or larger than 5 MB

Every message says what happened, to what, why, and what to do next. None ever holds a token, a header or the
body of a token endpoint's answer.
"""

from datetime import datetime
from enum import StrEnum

__all__ = [
    "Ambiguous",
    "AuthorizationLost",
    "BadRequest",
    "BanKind",
    "Forbidden",
    "ForbiddenReason",
    "LostReason",
    "MalformedAnswer",
    "NotFound",
    "QuotaExceeded",
    "RateLimited",
    "SpotifyError",
    "Unavailable",
    "is_transient",
]


class SpotifyError(Exception):
    """A call that did not do what was asked.

    Attributes:
        message: what happened, why and what to do next, in a sentence or two.
        endpoint: the endpoint's template, ``GET /albums/{id}``.
        status: HTTP status of the last answer; None where none came.
        request_id: Spotify's own id of the request, for its support.
        account_id, app_id: our ids of whom the call was made for.
        attempts: how many times it was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        status: int | None = None,
        request_id: str | None = None,
        account_id: int | None = None,
        app_id: int | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.status = status
        self.request_id = request_id
        self.account_id = account_id
        self.app_id = app_id
        self.attempts = attempts

    def __str__(self) -> str:
        whose = [
            f"{name} {value}"
            for name, value in (
                ("account", self.account_id),
                ("app", self.app_id),
                ("status", self.status),
                ("request", self.request_id),
            )
            if value is not None
        ]
        tail = f" ({', '.join(whose)})" if whose else ""
        return f"{self.endpoint}: {self.message}{tail}" if self.endpoint else f"{self.message}{tail}"


class RateLimited(SpotifyError):
    """429 with a short wait, still there after all attempts.

    Attributes:
        retry_after: seconds the server asked for; None where it named none.
    """

    retry_after: float | None = None


class BanKind(StrEnum):
    """Whom a ban is for."""

    QUOTA = "quota"
    """The developer account, with all its apps: Spotify said QUOTA_EXCEEDED."""
    LIMIT = "limit"
    """The one app that went on while it was limited."""


class QuotaExceeded(SpotifyError):
    """The developer account's quota is spent, or the app is banned: defer all its work.

    Attributes:
        until: aware UTC time before which no call may be made.
        kind: whom it is for.
        said: Spotify's own words on why; empty where nothing was sent, for an earlier ban is waited out.
        retry_after: the header as it came; None where there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        until: datetime,
        kind: BanKind = BanKind.QUOTA,
        said: str = "",
        retry_after: str | None = None,
        **where: object,
    ) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]
        self.until = until
        self.kind = kind
        self.said = said
        self.retry_after = retry_after


class LostReason(StrEnum):
    """Why an authorization is of no use any more."""

    CONSENT_GONE = "invalid_grant"
    APP_REFUSED = "invalid_client"
    REFUSED_AFTER_REFRESH = "refused_after_refresh"
    NO_CREDENTIALS = "no_credentials"


class AuthorizationLost(SpotifyError):
    """No token can be had, or the newest one is refused.

    Attributes:
        reason: ``CONSENT_GONE`` ends the account until it is connected again, ``APP_REFUSED`` the whole app;
            ``REFUSED_AFTER_REFRESH`` may pass and only degrades the account.
    """

    def __init__(self, message: str, *, reason: LostReason, **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]
        self.reason = reason


class ForbiddenReason(StrEnum):
    """Whose rule a 403 comes from."""

    SCOPE = "scope"
    NOT_REGISTERED = "not_registered"
    OWNER_PREMIUM = "owner_premium"
    """The app's owner has no Premium: all accounts of the app are refused."""
    PREMIUM = "premium"
    """The user has no Premium."""
    ENDPOINT_OR_OWNER = "endpoint_or_owner"


class Forbidden(SpotifyError):
    """403: asking again can't help.

    Attributes:
        reason: ``ENDPOINT_OR_OWNER`` is also what an endpoint answers that the app's regime lacks.
    """

    def __init__(self, message: str, *, reason: ForbiddenReason, **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]
        self.reason = reason


class NotFound(SpotifyError):
    """The thing is gone, private, or Spotify's own."""


class BadRequest(SpotifyError):
    """What we sent is refused for what it is; the same again is refused again."""


class Ambiguous(SpotifyError):
    """A create or append may or may not have happened: reconcile before asking again."""


class Unavailable(SpotifyError):
    """The service failed or could not be reached, in every attempt.

    Attributes:
        sent: the last attempt may have reached the server.
        retry_after: seconds the server asked for; None where it named none.
    """

    sent: bool = True
    retry_after: float | None = None


class MalformedAnswer(SpotifyError):
    """An answer that can't be read as what was promised."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well succeed later without anybody's help.

    >>> is_transient(NotFound("gone")), is_transient(Unavailable("503"))
    (False, True)
    """
    if isinstance(error, AuthorizationLost):
        return error.reason is LostReason.REFUSED_AFTER_REFRESH
    return isinstance(error, RateLimited | QuotaExceeded | Ambiguous | Unavailable | MalformedAnswer)
