"""Delivery to real receivers on this machine: what arrives, and what a person reads when nothing does."""

import base64
import socket
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from spotify_pipelines.observability import delivery
from spotify_pipelines.observability.alerts import Message
from spotify_pipelines.observability.delivery import Mail, NotDelivered, Receiver, Webhook, receivers
from spotify_pipelines.settings import Settings
from spotify_pipelines_tests.support.receivers import MailServer, WebhookServer, mail_server, webhook_server

MESSAGE = Message(
    "[live] Spotify pipelines: a ban", "A ban:\n• studio, until 14:00 UTC – “as it is”\n.\nfrom"
)


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_TIME_LIMIT", 0.5)
    monkeypatch.setattr(delivery, "_SMTP_TIMEOUT", 0.5)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def by_mail(url: str) -> Mail:
    return Mail(SecretStr(url), ["ops@example.com", "ann@example.com"], "pipelines@example.com")


def refusal(receiver: Receiver) -> str:
    with pytest.raises(NotDelivered) as refused:
        receiver.send(MESSAGE)
    text = str(refused.value)
    assert "hush" not in text
    assert refused.value.__cause__ is None
    return text


def test_a_webhook_gets_slacks_json(webhook: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    Webhook(SecretStr(webhook.url)).send(MESSAGE)
    assert webhook.posted == [{"text": MESSAGE.text}]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_say_yes_has_not_got_it(webhook: WebhookServer, status: int) -> None:
    webhook.status = status
    assert str(status) in refusal(Webhook(SecretStr(webhook.url)))


def test_a_webhook_that_is_silent_or_not_there_is_given_up(webhook: WebhookServer) -> None:
    webhook.hangs = True
    assert "ALERT_WEBHOOK_URL" in refusal(Webhook(SecretStr(webhook.url)))
    gone = f"http://127.0.0.1:{closed_port()}/hush-hush"
    assert "ConnectError" in refusal(Webhook(SecretStr(gone)))


def test_a_mail_arrives_as_it_was_written(mailbox: MailServer) -> None:
    by_mail(mailbox.url).send(MESSAGE)
    [mail] = mailbox.taken
    assert mail["Subject"] == MESSAGE.subject
    assert (mail["From"], mail["To"]) == ("pipelines@example.com", "ops@example.com, ann@example.com")
    assert mail.get_content().replace("\r\n", "\n").strip() == MESSAGE.text
    assert mailbox.logins == []


def test_a_login_is_used_and_its_signs_decoded(mailbox: MailServer) -> None:
    by_mail(f"smtp://studio:hush%2Fhush@{mailbox.host}:{mailbox.port}").send(MESSAGE)
    assert [base64.b64decode(login) for login in mailbox.logins] == [b"\0studio\0hush/hush"]
    assert len(mailbox.taken) == 1


def test_no_password_goes_unencrypted_to_another_machine() -> None:
    with mail_server("127.0.0.2") as elsewhere:
        text = refusal(by_mail(f"smtp://studio:hush@{elsewhere.host}:{elsewhere.port}"))
        assert "in clear" in text
        assert elsewhere.logins == []
        by_mail(elsewhere.url).send(MESSAGE)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_where_encryption_fails_nothing_goes_in_clear(mailbox: MailServer, scheme: str) -> None:
    mailbox.offers_tls = True
    assert "can't be used" in refusal(by_mail(f"{scheme}://studio:hush@{mailbox.host}:{mailbox.port}"))
    assert not mailbox.logins
    assert not mailbox.taken


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA", "AUTH"])
def test_a_mail_server_that_refuses_is_named_without_its_words(mailbox: MailServer, command: str) -> None:
    mailbox.refuses = command
    assert "mail server" in refusal(by_mail(f"smtp://studio:hush@{mailbox.host}:{mailbox.port}"))
    assert mailbox.taken == []


def test_a_mail_server_that_is_silent_or_not_there_is_given_up(mailbox: MailServer) -> None:
    mailbox.hangs = True
    assert "SMTP_URL" in refusal(by_mail(mailbox.url))
    assert "ConnectionRefusedError" in refusal(by_mail(f"smtp://127.0.0.1:{closed_port()}"))


def test_settings_name_the_receivers() -> None:
    def named(**values: object) -> list[str]:
        return [each.name for each in receivers(Settings(_env_file=None, **values))]  # type: ignore[arg-type]

    assert named() == []
    assert named(alert_webhook_url=SecretStr("https://hooks.example.com/x")) == ["webhook"]
    assert named(alert_email_to=["ops@example.com"], smtp_url=SecretStr("smtps://mail.example.com")) == [
        "e-mail"
    ]
