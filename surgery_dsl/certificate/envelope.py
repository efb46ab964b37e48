"""The envelope around a statement: DSSE version 1 (github.com/secure-systems-lab/dsse, protocol and envelope 1.0.0).

A signature covers the *pre-authentication encoding* of the payload and of its type, so that the bytes which are signed
are those which are parsed afterwards. ``keyid`` is a hint and decides nothing.
"""

import base64
import binascii
from typing import Final, Literal

from pydantic import Field

from surgery_dsl.certificate.canonical import canonical
from surgery_dsl.certificate.signing import SigningKey
from surgery_dsl.interface.model import Data

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MOST_SIGNATURES = 16
"""Signatures of one envelope that are tried."""


class Signature(Data):
    """One signature, base64, and the key that is said to have made it."""

    keyid: str = Field(pattern="^[0-9a-f]{64}$")
    sig: str = Field(pattern="^[A-Za-z0-9+/_-]{86}==$")


class Envelope(Data):
    """The file: a payload in base64, what it is, and who signed it; nobody, where ``signatures`` is empty."""

    payload: str = Field(
        json_schema_extra={
            "contentEncoding": "base64",
            "contentMediaType": PAYLOAD_TYPE,
        }
    )
    payloadType: Literal["application/vnd.in-toto+json"] = PAYLOAD_TYPE
    signatures: tuple[Signature, ...] = Field(default=(), max_length=MOST_SIGNATURES)


def encoded(payload_type: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding: what is signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def sealed(body: bytes, keys: tuple[SigningKey, ...] = ()) -> bytes:
    """Return the bytes of an envelope file around a payload, signed by the given keys or by none."""
    message = encoded(PAYLOAD_TYPE, body)
    signatures = tuple(
        Signature(keyid=key.key_id, sig=base64.b64encode(key.sign(message)).decode("ascii")) for key in keys
    )
    envelope = Envelope(payload=base64.b64encode(body).decode("ascii"), signatures=signatures)
    return canonical(envelope.model_dump(mode="json")) + b"\n"


def decoded(text: str) -> bytes:
    """Return what base64 says, in the standard or the URL-safe alphabet.

    Raises:
        ValueError: It is not base64, or not in the one form that these bytes have.
    """
    for alphabet, encode in ((None, base64.b64encode), (b"-_", base64.urlsafe_b64encode)):
        try:
            data = base64.b64decode(text, altchars=alphabet, validate=True)
        except binascii.Error:
            continue
        if encode(data).decode("ascii") == text:
            return data
    raise ValueError("it is not base64")
