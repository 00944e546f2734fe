"""The API from Python: what the app and the bot call it by."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx


class ApiError(Exception):
    """The API has refused, or did not answer. status: None if it did not answer. detail: one line."""

    def __init__(self, status: int | None, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Client:
    """A connection to the API.

    Args:
        url: of the API, as http://127.0.0.1:8000.
        key: an API key, where the API requires one.
        seconds: how long to wait for an answer.
    """

    def __init__(self, url: str, key: str | None = None, seconds: float = 120.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=5.0),
            # before the server closes it, after 5 s: a request on a connection that is being closed would fail
            limits=httpx.Limits(keepalive_expiry=2.0),
        )

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET. Raises ApiError."""
        return self._call("GET", path, params={key: value for key, value in query.items() if value is not None})

    def text(self, path: str, **query: Any) -> str:
        """GET of text/plain. Raises ApiError."""
        return self._answer("GET", path, params=query).text

    def content(self, path: str) -> bytes:
        """GET of a file. Raises ApiError."""
        return self._answer("GET", path).content

    def post(self, path: str, content: Any = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """POST of JSON. Raises ApiError."""
        return self._call("POST", path, json=content, headers=dict(headers or {}))

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE. Raises ApiError."""
        return self._call("DELETE", path)

    def predict(
        self, images: Sequence[tuple[str, bytes]], explain: bool = False, evidence: bool = False
    ) -> dict[str, Any]:
        """POST /predict.

        Args:
            images: (name, content) of each file.
            explain: whether to ask for a map per image.
            evidence: whether to ask what the files declare.

        Returns:
            The body of `schemas.PredictResponse`.

        Raises:
            ApiError: refused as a whole. A file that cannot be read is an entry of the answer instead.
        """
        files = [("files", (name, content, "application/octet-stream")) for name, content in images]
        return self._call("POST", "/predict", files=files, params={"explain": explain, "evidence": evidence})

    def upload(self, path: str, files: Sequence[tuple[str, tuple[str, Any, str]]], **fields: str) -> dict[str, Any]:
        """POST of multipart/form-data: (field, (name, content or an open file, media type)). Raises ApiError."""
        return self._call("POST", path, files=list(files), data=fields)

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise ApiError(None, f"the API at {self.url} did not answer in time") from None
        except httpx.HTTPError as error:
            raise ApiError(None, f"the API at {self.url} cannot be reached: {error}") from None

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._answer(method, path, **options)
        return response.json() if response.content else {}

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._one_line():
            response = self._http.request(method, path, **options)
        if response.is_success:
            return response
        try:
            detail = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = response.reason_phrase
        raise ApiError(response.status_code, detail)
