"""Cursors: where a page ended, signed, so that a cursor works only for the list it came from."""

import base64
import binascii
import hashlib
import hmac

_SIGNATURE_BYTES = 9


class InvalidCursor(ValueError):
    """The text is not a cursor that was given out for this list."""


class Cursors:
    """Seals positions of a list (`scope`) into opaque texts and opens them again."""

    def __init__(self, secret: bytes) -> None:
        # A key of its own: what signs a cursor never hashes a contact.
        self._key = hmac.digest(secret, b"cursors", "sha256")

    def seal(self, scope: str, position: str) -> str:
        """The cursor of `position` in the list `scope`."""
        signature = self._sign(scope, position)
        return base64.urlsafe_b64encode(signature + position.encode()).decode().rstrip("=")

    def open(self, scope: str, cursor: str) -> str:
        """The position a cursor was sealed with; raises `InvalidCursor` for any other text or list."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            position = raw[_SIGNATURE_BYTES:].decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor from error
        # The whole text, not its bytes: base64 has several spellings of the same bytes, and only one was given out.
        if not cursor.isascii() or not hmac.compare_digest(cursor, self.seal(scope, position)):
            raise InvalidCursor
        return position

    def _sign(self, scope: str, position: str) -> bytes:
        return hmac.new(self._key, f"{scope}\0{position}".encode(), hashlib.sha256).digest()[:_SIGNATURE_BYTES]
