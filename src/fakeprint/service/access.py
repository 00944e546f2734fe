"""API keys: who may do what. Only hashes are stored; a key is 256 random bits, so a plain SHA-256 is enough."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fakeprint.errors import InputError
from fakeprint.service.problems import ServiceError
from fakeprint.service.schemas import Scope
from fakeprint.service.tables import Key, now

SCOPES: tuple[Scope, ...] = ("predict", "fit", "admin")
PREFIX = "fp_"

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer KEY`")
_header = APIKeyHeader(name="X-API-Key", auto_error=False)


def create_key(engine: Engine, name: str, scopes: list[Scope]) -> str:
    """Make a key and return it. It cannot be read again.

    Raises:
        InputError: a key of this name exists.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    with Session(engine) as session, session.begin():
        if session.get(Key, name):
            raise InputError(f"there is a key '{name}' already; revoke it first, or take another name")
        session.add(Key(name=name, hash=_hash(key), scopes=",".join(scopes), created=now()))
    return key


def revoke_key(engine: Engine, name: str) -> None:
    """Forget a key: requests with it are refused from now on.

    Raises:
        InputError: there is no key of this name.
    """
    with Session(engine) as session, session.begin():
        key = session.get(Key, name)
        if key is None:
            raise InputError(f"there is no key '{name}'")
        session.delete(key)


def list_keys(engine: Engine) -> list[tuple[str, list[str]]]:
    """Names and scopes of all keys."""
    with Session(engine) as session:
        return [(key.name, key.scopes.split(",")) for key in session.scalars(select(Key).order_by(Key.name))]


def require(scope: Scope) -> Callable[..., Awaitable[str | None]]:
    """A dependency: the name of the caller's key, or None where no key is required.

    `admin` may do everything. A request whose key lacks the scope gets 403; without a key, or with an unknown one, it
    has got 401 from `gate` before its body was read.
    """

    async def caller(  # as a coroutine, so that it needs no thread
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],  # both for OpenAPI: `gate` reads them
        header: Annotated[str | None, Depends(_header)],
    ) -> str | None:
        request.state.sees_all = not request.app.state.settings.keys_required
        if request.state.sees_all:
            return None
        name, scopes = request.state.caller
        if not {scope, "admin"} & set(scopes):
            raise ServiceError(403, f"the API key '{name}' lacks the scope '{scope}'")
        request.state.sees_all = "admin" in scopes
        return str(name)

    return caller


def authenticated(engine: Engine, headers: Mapping[str, str]) -> tuple[str, list[str]]:
    """The name and the scopes of the key in a request's headers. Raises ServiceError (401) if there is none."""
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key")
    found = _find(engine, given) if given else None
    if found is None:
        reason = "unknown API key" if given else "an API key is required: `Authorization: Bearer KEY`"
        raise ServiceError(401, reason, {"WWW-Authenticate": "Bearer"})
    return found


class Caller(NamedTuple):
    """Who calls. owner: of what it sends, the name of its key. sees_all: whether it is shown what others sent."""

    owner: str | None
    sees_all: bool


async def fit_caller(request: Request, owner: Annotated[str | None, Depends(require("fit"))]) -> Caller:
    """A dependency: the caller, whose key has the scope `fit`. It sees its own; `admin`, or no key at all, sees all."""
    return Caller(owner, request.state.sees_all)


def _find(engine: Engine, key: str) -> tuple[str, list[str]] | None:
    with Session(engine) as session:
        found = session.scalar(select(Key).where(Key.hash == _hash(key)))
        return (found.name, found.scopes.split(",")) if found else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
