"""What people say of text that they bring into a lake: its name, its origin, its licence."""

import re

from warehouse.errors import ExchangeError

MOST_OF_ORIGIN = 1_000
_MOST_OF_LICENCE = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LICENCE = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def check_name(option: str, name: str, example: str) -> None:
    """Pass if the name is one; ExchangeError says which option gave it."""
    if not _NAME.fullmatch(name):
        raise ExchangeError(
            f"{option} {name!r}: expected 1 to 63 lower-case letters, digits or '-', as {example}"
        )


def check_origin(origin: str) -> None:
    """Pass if the origin is one line that can be shown; else ExchangeError."""
    if not origin.isprintable() or not 1 <= len(origin) <= MOST_OF_ORIGIN:
        raise ExchangeError(
            f"--origin {origin[:80]!a}: expected 1 to {MOST_OF_ORIGIN} printable "
            "characters on one line, as the address that it comes from"
        )


def check_licence(licence: str) -> None:
    """Pass if the licence is an SPDX expression; else ExchangeError."""
    if len(licence) > _MOST_OF_LICENCE or not _LICENCE.fullmatch(licence):
        raise ExchangeError(
            f"--licence {licence!r}: expected an SPDX expression, as CC-BY-4.0, MIT OR "
            "Apache-2.0, or LicenseRef-our-own for text that is yours"
        )
