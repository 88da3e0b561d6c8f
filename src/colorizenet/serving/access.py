"""Who may use the server: host names, origins of web pages, and the token."""

import base64
import contextlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from colorizenet.errors import ConfigError, quote
from colorizenet.serving.errors import RequestError

__all__ = ["Access", "is_loopback", "parse_origin", "parse_server_name"]


@dataclass(frozen=True, kw_only=True)
class Access:
    """The rules that decide whether a request is answered."""

    token: str | None = None
    """What a client must send, as a bearer token or as the password of any user; None:
    nothing."""
    hosts: frozenset[str] | None = None
    """Names by which clients may address this server, besides IP addresses; None allows
    any.

    Protects a server without a token against DNS rebinding, where a foreign web page
    makes its own host name resolve to this machine. That needs a name, so an IP address
    is always allowed.
    """
    origins: frozenset[str] = frozenset()
    """Origins of other sites whose pages may use the API (CORS)."""

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raise ``RequestError`` where a request is not allowed. Header names are lower
        case."""
        host = headers.get("host", "")
        name = _parse_host(f"//{host}")
        if self.hosts is not None and name not in self.hosts and not _is_address(name):
            raise RequestError(
                421,
                "unknown-host",
                f"{quote(host)} is not a name of this server; "
                f"use {' or '.join(sorted(self.hosts))}, or its IP address; "
                "its operator can add names with --server-name",
            )
        origin = headers.get("origin")
        foreign = (
            origin is not None and origin not in self.origins and origin.partition("://")[2] != host
        )
        if foreign and method not in ("GET", "HEAD"):
            raise RequestError(
                403,
                "forbidden",
                f"pages of {quote(origin)} may not use this server; "
                "its operator can allow them with --origin",
            )
        if self.token is None or path == "/healthz" or method == "OPTIONS":
            return
        sent = _parse_token(headers.get("authorization", ""))
        if not hmac.compare_digest(sent, self.token.encode()):
            # A browser asks for a user and a password where the scheme is Basic.
            scheme = "Bearer" if path.startswith(("/v1/", "/metrics")) else "Basic"
            raise RequestError(
                401,
                "unauthorized",
                "this server requires a token; send the header Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": f'{scheme} realm="ColorizeNet"'},
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_server_name(text: str) -> str:
    """The host name in a text that may have a port. Raises ``ConfigError``."""
    if _is_address(text):
        return text.lower()
    name = _parse_host(f"//{text}")
    if not name:
        raise ConfigError(f"{quote(text)} is no host name; give one such as photos.example")
    return name


def parse_origin(text: str) -> str:
    """An origin as browsers send it. Raises ``ConfigError``."""
    with contextlib.suppress(ValueError):  # for example http://[
        parts = urlsplit(text)
        plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
        if parts.scheme and parts.hostname and plain:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
            return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"
    raise ConfigError(f"{quote(text)} is no origin; give one such as https://photos.example")


def _parse_host(address: str) -> str | None:
    """The host name in an address, in lower case, without the dot of the root."""
    try:
        parts = urlsplit(address)
        plain = parts.hostname if parts.username is None and not parts.path else None
    except ValueError:  # for example [
        return None
    return plain and plain.removesuffix(".")


def _is_address(name: str | None) -> bool:
    try:
        return bool(name and ipaddress.ip_address(name))
    except ValueError:
        return False


def _parse_token(authorization: str) -> bytes:
    """The token in an Authorization header, which is Latin-1 text, or nothing."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(value, validate=True).partition(b":")[2]
    return value.encode("latin-1") if scheme.lower() == "bearer" else b""
