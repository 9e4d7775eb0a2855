"""Prediction backend for Label Studio 1.23: /health, /setup, /predict and /webhook, answered through an endpoint.

Label Studio asks it for pre-labels while people label. It holds no model: it fetches each photo, asks the endpoint
over HTTP, and counts finished annotations towards a retraining.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lenslet.inference.atomic import write_text
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.labelling.label_studio import LabelStudio, prediction

MAX_BODY_BYTES = 64 * 1024**2  # a batch of tasks with photos in them
MAX_PHOTO_BYTES = 20 * 1024**2
TIMEOUT_S = 30
NO_ANSWER: dict[str, Any] = {"result": [], "score": 0.0}


class BadTask(Exception):
    """A task whose photo cannot be had or classified."""


@dataclass
class Counter:
    """Annotations that were finished, kept in a file that survives the process."""

    path: Path
    _lock: Lock = field(default_factory=Lock)

    def value(self) -> int:
        try:
            return int(parse_json(self.path.read_text(encoding="utf-8"))["annotations"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def add(self, change: int) -> int:
        with self._lock:
            count = self.value() + change
            write_text(self.path, json.dumps({"annotations": count}) + "\n")
            return count


@dataclass
class Backend:
    """State that the routes share."""

    endpoint: str  # base address of a Lenslet endpoint
    counter: Counter
    endpoint_key: str = field(default="", repr=False)
    studio: LabelStudio | None = None  # only its photos are fetched here; other links go to the endpoint
    webhook_secret: str = field(default="", repr=False)
    on_annotation: Callable[[int], None] = lambda count: None

    def predict(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """The pre-label of a task, or an empty one where the photo cannot be classified: the others go on."""
        try:
            answer = self._ask(self._photo(str(task["data"]["image"])))
            best, model = answer["predictions"][0], answer["model"]
            return prediction(best["label"], best["probability"], f"{model['name']} {model['version']}")
        except (BadTask, LookupError, TypeError, ValueError, InputError, requests.RequestException) as error:
            return {**NO_ANSWER, "model_version": f"no answer: {error}"[:100]}

    def version(self) -> str:
        found = requests.get(f"{self.endpoint}/", headers=self._headers(), timeout=TIMEOUT_S).json()
        return f"{found['name']} {found['version']}"

    def _photo(self, image: str) -> dict[str, str]:
        """Request to the endpoint for the photo of a task."""
        if image.startswith("data:"):
            _, _, payload = image.partition(";base64,")
            return {"image": payload}
        place = urlsplit(image)
        own = urlsplit(self.studio.url).netloc if self.studio else ""
        if place.scheme == "s3" or (place.scheme in ("http", "https") and place.netloc != own):
            return {"url": image}
        if place.scheme not in ("", "http", "https"):
            raise BadTask("a photo that is neither a link nor in Label Studio")
        if not self.studio:
            raise BadTask("a photo in Label Studio, whose token is not set here")
        path = f"{place.path}?{place.query}" if place.query else place.path
        return {"image": base64.b64encode(self.studio.read(path, MAX_PHOTO_BYTES)).decode()}

    def _ask(self, photo: Mapping[str, str]) -> dict[str, Any]:
        found = requests.post(
            f"{self.endpoint}/predict", json={**photo, "top": 1}, headers=self._headers(), timeout=TIMEOUT_S
        )
        content: dict[str, Any] = found.json()
        if found.status_code != 200:
            raise BadTask(str(content.get("error", {}).get("code", found.status_code)))
        return content

    def _headers(self) -> dict[str, str]:
        return {"X-Api-Key": self.endpoint_key} if self.endpoint_key else {}


def application(backend: Backend) -> Starlette:
    """The ASGI application."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "UP", "model_class": "Lenslet", "v2": True})

    async def setup(request: Request) -> Response:
        await _read(request)
        try:
            version = await run_in_threadpool(backend.version)
        except (requests.RequestException, ValueError, KeyError) as error:
            return JSONResponse({"error": f"the endpoint does not answer: {error}"}, 502)
        return JSONResponse({"model_version": version})

    async def predict(request: Request) -> Response:
        content = await _read(request)
        tasks = content.get("tasks")
        if not isinstance(tasks, list):
            return JSONResponse({"error": "tasks must be a list"}, 400)
        results = [await run_in_threadpool(backend.predict, task) for task in tasks]
        return JSONResponse({"results": results})

    async def webhook(request: Request) -> Response:
        given = request.headers.get("x-lenslet-secret", "")
        if backend.webhook_secret and not hmac.compare_digest(
            given.encode(), backend.webhook_secret.encode()
        ):
            return JSONResponse({"error": "the secret is missing or wrong"}, 403)
        content = await _read(request)
        if content.get("action") == "ANNOTATION_CREATED":
            count = await run_in_threadpool(backend.counter.add, 1)
            await run_in_threadpool(backend.on_annotation, count)
        return JSONResponse({"status": "ok", "annotations": backend.counter.value()}, 201)

    routes = [
        Route("/health", health),
        Route("/setup", _guarded(setup), methods=["POST"]),
        Route("/predict", _guarded(predict), methods=["POST"]),
        Route("/webhook", _guarded(webhook), methods=["POST"]),
    ]
    return Starlette(routes=routes)


def _guarded(route: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await route(request)
        except (ValueError, binascii.Error) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


async def _read(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises ValueError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES:,} bytes")
    content = parse_json(bytes(body))
    if not isinstance(content, dict):
        raise ValueError("the body must be a JSON object")
    return content
