"""A message as an e-mail. Bytes depend on the message alone, so every try sends the same mail."""

from __future__ import annotations

import email.policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from . import Message

DOMAIN = "voice-errands.invalid"
POLICY = email.policy.SMTP.clone(max_line_length=78)


def compose(message: Message, sender: str | None) -> EmailMessage:
    """The e-mail of a message; sender: "name@host" or None for mail that stays in the outbox."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender or Address("Assistant", "assistant", DOMAIN)
    mail["To"] = _recipient(message)
    mail["Subject"] = subject(message)
    mail["Date"] = format_datetime(message.planned)
    mail["Message-ID"] = message_id(message)
    mail.set_content((message.text or "") + "\n")
    for file in message.attachments:
        main, _, sub = (file.media_type or "application/octet-stream").partition("/")
        mail.add_attachment(file.read(), maintype=main, subtype=sub or "octet-stream", filename=file.name)
    if message.attachments:
        mail.set_boundary(f"==={message.id}===")
    return mail


def message_id(message: Message) -> str:
    return f"<{message.id}@{DOMAIN}>"


def subject(message: Message) -> str:
    """The first words of the text, or what is attached."""
    words = (message.text or "").split()
    if words:
        line = " ".join(words[:9])
        return line[:70] + ("…" if len(words) > 9 or len(line) > 70 else "")
    names = [file.name for file in message.attachments]
    return "".join(c for c in ", ".join(names[:2]) if c.isprintable())[:70] + (" …" if len(names) > 2 else "")


def _recipient(message: Message) -> Address | str:
    user, at, host = message.address.partition("@")
    name = " ".join(message.name.split())
    if at:
        return Address(name, user, host)
    # A telephone number or nothing: the outbox keeps it readable without pretending that it is an e-mail address.
    digits = "".join(c for c in message.address if c.isalnum() or c == "+") or "nobody"
    return Address(name, digits, DOMAIN)
