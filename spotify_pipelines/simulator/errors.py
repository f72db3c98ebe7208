"""How the simulated services refuse: one exception per house style, turned into an answer by ``exchange``.

The Web API answers ``{"error": {"status", "message"}}``, the accounts service ``{"error", "error_description"}``.
Texts are Spotify's own where they are known.
"""

from collections.abc import Mapping

__all__ = ["ApiError", "OAuthError", "Refusal"]


class Refusal(Exception):
    """An answer that is an error: a status, a JSON body, and headers."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class ApiError(Refusal):
    """An error of the Web API. ``message=None`` leaves the message out, as Spotify does at times."""

    def __init__(
        self,
        status: int,
        message: str | None,
        *,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        error: dict[str, object] = {"status": status}
        if message is not None:
            error["message"] = message
        if reason is not None:
            error["reason"] = reason
        super().__init__(status, {"error": error}, headers)


class OAuthError(Refusal):
    """An error of the token endpoint (RFC 6749, section 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(status, {"error": error, "error_description": description})
