"""Sending a message to people: to a webhook that takes Slack's JSON, or by e-mail.

What belongs here: one attempt, bounded in time, and an error without secrets. What does not: what is said
(``alerts``), trying again (``telling``).
"""

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.observability.alerts import Message
from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.transport import BodyTooLarge, HttpTransport, Undelivered

__all__ = ["Mail", "NotDelivered", "Receiver", "Webhook", "receivers"]

_TIME_LIMIT = 10.0
"""Seconds for a webhook's whole exchange. A tick of a sensor has a minute for all of its receivers."""
_SMTP_TIMEOUT = 5.0
"""Seconds for each answer of a mail server; there are eight of them at most."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class NotDelivered(ExplainedError):
    """A message did not arrive, as far as is known; the text says why and holds no address and no secret."""


class Receiver(Protocol):
    """Where messages go; ``name`` is how it is called in logs and in the memory of what it was told."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Deliver it, or raise ``NotDelivered``."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming webhook. Its address is a secret: whoever knows it may post."""

    url: SecretStr
    name: str = "webhook"

    def send(self, message: Message) -> None:
        """Post the message as JSON.

        Raises:
            NotDelivered: no answer came, or none that means yes.
        """
        asyncio.run(self._post(message))

    async def _post(self, message: Message) -> None:
        url = self.url.get_secret_value()
        at_home = urlsplit(url).hostname in _LOOPBACK
        try:
            async with HttpTransport.open(time_limit=_TIME_LIMIT, use_proxies=not at_home) as http:
                answer = await http.send("POST", url, headers={}, body=message.for_slack())
        except Undelivered as error:
            raise NotDelivered(
                f"The webhook can't be reached ({error.kind}). Is SPOTIFY_PIPELINES_ALERT_WEBHOOK_URL right?"
            ) from None
        except BodyTooLarge:
            raise NotDelivered("The webhook's answer is no answer of a webhook: too long.") from None
        if not 200 <= answer.status < 300:
            raise NotDelivered(
                f"The webhook answered {answer.status}. If it was removed, put a new address into "
                "SPOTIFY_PIPELINES_ALERT_WEBHOOK_URL."
            )


@dataclass(frozen=True, slots=True)
class Mail:
    """E-mail through one server: smtps:// is encrypted from the start, smtp:// as soon as the server offers it."""

    server: SecretStr
    to: Sequence[str]
    sender: str
    name: str = "e-mail"

    def send(self, message: Message) -> None:
        """Hand the message to the server.

        Raises:
            NotDelivered: it was not taken for everybody.
        """
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = message.subject, self.sender, ", ".join(self.to)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        try:
            self._hand_over(mail)
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(f"The mail server refused with {error.smtp_code}.") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise NotDelivered(
                f"The mail server takes no mail for {len(error.recipients)} of the addresses in "
                f"SPOTIFY_PIPELINES_ALERT_EMAIL_TO ({', '.join(map(str, codes))})."
            ) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotDelivered(
                f"The mail server can't be used ({type(error).__name__}). Is SPOTIFY_PIPELINES_SMTP_URL right?"
            ) from None

    def _hand_over(self, mail: EmailMessage) -> None:
        where = urlsplit(self.server.get_secret_value())
        server = _connected(where)
        try:
            if where.username:
                server.login(unquote(where.username), unquote(where.password or ""))
            refused = server.send_message(mail)
        finally:
            # The mail is taken, or not: a server that says no goodbye changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)


def _connected(where: SplitResult) -> smtplib.SMTP:
    """A connection that may carry a password, if there is one.

    Raises:
        NotDelivered: the server would have it unencrypted.
    """
    host = where.hostname or ""
    context = ssl.create_default_context()
    if where.scheme == "smtps":
        return smtplib.SMTP_SSL(host, where.port or 465, timeout=_SMTP_TIMEOUT, context=context)
    server = smtplib.SMTP(host, where.port or 587, timeout=_SMTP_TIMEOUT)
    try:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
        elif where.username and host not in _LOOPBACK:
            raise NotDelivered(
                "The mail server offers no encryption, and a password would be sent in clear. Use smtps:// in "
                "SPOTIFY_PIPELINES_SMTP_URL, or a server without a password."
            )
    except BaseException:
        server.close()
        raise
    return server


def receivers(settings: Settings) -> list[Receiver]:
    """Whom the settings name; nobody, where they name none."""
    found: list[Receiver] = []
    if settings.alert_webhook_url is not None:
        found.append(Webhook(settings.alert_webhook_url))
    if settings.alert_email_to and settings.smtp_url is not None:
        found.append(Mail(settings.smtp_url, settings.alert_email_to, settings.alert_email_from))
    return found
