"""Which channel carries a message to a person.

A channel that the user names is the one that is used. Without a name: the person's own Apprise address, e-mail (through
the SMTP server if one is configured, else into the outbox), a messaging service that is configured and that the
person has a handle at, and last the outbox with the telephone number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from assistant.config import Settings

from ..contacts import Person
from . import Channel
from .apprise import Apprise
from .outbox import Outbox
from .smtp import Smtp

BY_PHONE = ("sms", "whatsapp", "signal")


class NoRoute(ValueError):
    """There is no way to this person; the message says what to add where."""


@dataclass(frozen=True)
class Route:
    """channel: outbox, email or the name of an Apprise channel. address: for people, without secrets.
    target: hash of the full address where that holds a secret, so that a change after a confirmation is noticed."""

    channel: str
    address: str
    target: str = ""


class Routes:
    """The configured channels. They alone hold addresses with passwords and tokens."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._outbox = Outbox(settings.home / "outbox")
        self._smtp = Smtp(settings.smtp_url, settings.smtp_from) if settings.smtp_url else None

    def route(self, person: Person, via: str | None) -> Route:
        """The way to a person. Raises NoRoute."""
        if via == "email" or (via is None and person.emails and not person.apprise):
            if not person.emails:
                raise NoRoute(f"there is no e-mail address for {person.name}; add one to the contact")
            return Route("email" if self._smtp else "outbox", person.emails[0])
        if via is None and person.apprise:
            return self._apprise("contact", person, person.apprise)
        if via is not None:
            url = self._settings.channels.get(via)
            if not url:
                raise NoRoute(f'there is no {via} channel; add `{via} = "…"` with its Apprise URL to [channels]')
            return self._apprise(via, person, url)
        for name, url in self._settings.channels.items():
            if "{" in url and name != "self" and _fill(url, name, person):
                return self._apprise(name, person, url)
        if person.phones:
            return Route("outbox", person.phones[0])
        raise NoRoute(f"there is no address for {person.name}; add an e-mail address or number to the contact")

    def channel(self, route: Route, person: Person | None) -> Channel:
        """The channel of a route that was confirmed. Raises NoRoute when its address is no longer the same."""
        if route.channel == "outbox":
            return self._outbox
        if route.channel == "email":
            if self._smtp is None:
                raise NoRoute("the SMTP server is no longer configured")
            return self._smtp
        url = person.apprise if route.channel == "contact" and person else self._settings.channels.get(route.channel)
        url = _fill(url or "", route.channel, person) if person else url
        if not url or _hash(url) != route.target:
            raise NoRoute(f"the address of the {route.channel} channel has changed since it was confirmed")
        return Apprise(route.channel, url)

    def own(self) -> Route | None:
        """The way to the user, for reminders."""
        url = self._settings.channels.get("self")
        return Route("self", "you", _hash(url)) if url else None

    def _apprise(self, name: str, person: Person, url: str) -> Route:
        full = _fill(url, name, person)
        if full is None:
            how = f"add X-{name.upper()} or a number to the contact"
            raise NoRoute(f"there is no {name} address for {person.name}; {how}")
        try:
            label = Apprise(name, full).address
        except ValueError as error:
            raise NoRoute(str(error)) from error
        shown = next((v for key, v in _values(name, person).items() if key in url and v), label)
        return Route(name, shown, _hash(full))


def _address(name: str, person: Person) -> str | None:
    """What a person is reached by at a service."""
    return person.handles.get(name) or (person.phones[0] if name in BY_PHONE and person.phones else None)


def _values(name: str, person: Person) -> dict[str, str | None]:
    """What may stand in a channel's URL for a person."""
    return {
        "{handle}": _address(name, person),
        "{phone}": person.phones[0].replace(" ", "") if person.phones else None,
        "{email}": person.emails[0] if person.emails else None,
    }


def _fill(url: str, name: str, person: Person) -> str | None:
    """The URL with {handle}, {phone} and {email} replaced; None when the person has none of what it needs."""
    for key, value in _values(name, person).items():
        if key in url:
            if not value:
                return None
            url = url.replace(key, quote(value, safe="+@"))
    return url


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
