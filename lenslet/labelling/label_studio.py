"""Label Studio over its HTTP API: projects, tasks with predictions, annotations. Plain `requests`, version 1.23.

The address comes from LABEL_STUDIO_URL and the token from LABEL_STUDIO_TOKEN, a personal access token (which is
exchanged for short-lived ones) or a legacy token.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

import requests

from lenslet.inference.errors import InputError

URL_VARIABLE, TOKEN_VARIABLE = "LABEL_STUDIO_URL", "LABEL_STUDIO_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8090"
TIMEOUT_S = 60
PAGE = 100
FROM_NAME, TO_NAME = "choice", "image"  # of the labelling configuration


class LabelStudioError(InputError):
    """Label Studio cannot be reached or refuses; the message is one sentence with the remedy."""


@dataclass
class LabelStudio:
    """A session with one Label Studio."""

    url: str
    token: str = field(repr=False)
    _session: requests.Session = field(default_factory=requests.Session, repr=False)
    _access: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> "LabelStudio":
        """Raises LabelStudioError without a token."""
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        url = os.environ.get(URL_VARIABLE, "").strip().rstrip("/") or DEFAULT_URL
        if not token:
            raise LabelStudioError(f"{TOKEN_VARIABLE} is not set: copy a token from {url}/user/account")
        return cls(url, token)

    def project(self, title: str) -> dict[str, Any] | None:
        """The project of exactly this title; the oldest of several."""
        found = [each for each in self._pages("/api/projects", {"title": title}) if each["title"] == title]
        return min(found, key=lambda each: int(each["id"])) if found else None

    def create_or_update_project(self, title: str, labels: Sequence[str]) -> tuple[int, bool]:
        """Give the project labels for choice. Returns: its number, and whether it is new."""
        configuration = label_config(labels)
        found = self.project(title)
        if found is None:
            made = self._ask("POST", "/api/projects", json={"title": title, "label_config": configuration})
            return int(made["id"]), True
        if found.get("label_config") != configuration:
            self._ask("PATCH", f"/api/projects/{found['id']}", json={"label_config": configuration})
        return int(found["id"]), False

    def add_local_storage(self, project: int, path: str) -> None:
        """Let the project's tasks show files below `path`, a folder within Label Studio's document root."""
        stores = self._ask("GET", "/api/storages/localfiles", params={"project": project})
        if any(each.get("path") == path for each in stores):
            return
        content = {"project": project, "path": path, "use_blob_urls": True, "title": "photos"}
        self._ask("POST", "/api/storages/localfiles", json=content)

    def add_s3_storage(self, project: int, bucket: str, prefix: str) -> None:
        """Let the project's tasks show objects of the bucket: Label Studio signs their links, with its own rights."""
        stores = self._ask("GET", "/api/storages/s3", params={"project": project})
        if any((each.get("bucket"), each.get("prefix") or "") == (bucket, prefix) for each in stores):
            return
        content = {
            "project": project,
            "bucket": bucket,
            "prefix": prefix,
            "use_blob_urls": True,
            "title": "photos",
        }
        self._ask("POST", "/api/storages/s3", json=content)

    def read(self, path: str, most: int) -> bytes:
        """The file at a path of Label Studio, such as a task's photo. Raises LabelStudioError above `most` bytes."""
        if not path.startswith("/") or path.startswith("//"):  # else it could name another host
            raise LabelStudioError("a photo whose address is no path of Label Studio")
        answer = self._answered("GET", path, {"stream": True, "allow_redirects": False})
        data = answer.raw.read(most + 1, decode_content=True)
        if len(data) > most:
            raise LabelStudioError(f"a photo of more than {most:,} bytes")
        return bytes(data)

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        self._ask("POST", f"/api/projects/{project}/import", json=list(tasks))

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All tasks with their annotations, as the JSON export has them."""
        parameters = {"exportType": "JSON", "download_all_tasks": "true"}
        found: list[dict[str, Any]] = self._ask("GET", f"/api/projects/{project}/export", params=parameters)
        return found

    def annotate(self, task: int, label: str) -> None:
        """Add an annotation: what a click on a label does."""
        self._ask("POST", f"/api/tasks/{task}/annotations", json={"result": [choice(label)]})

    def _pages(self, path: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            found = self._ask("GET", path, params={**parameters, "page": page, "page_size": PAGE})
            yield from found["results"]
            if not found.get("next"):
                return
            page += 1

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        answer = self._answered(method, path, content)
        return answer.json() if answer.content else None

    def _answered(self, method: str, path: str, content: Mapping[str, Any]) -> requests.Response:
        answer = self._send(method, path, content)
        if answer.status_code == 401:  # an access token lives for minutes
            self._access = ""
            answer = self._send(method, path, content)
        if answer.status_code in (401, 403):
            raise LabelStudioError(f"Label Studio at {self.url} does not take the token in {TOKEN_VARIABLE}")
        if not answer.ok or answer.is_redirect:
            detail = " ".join(answer.text.split())[:200]
            raise LabelStudioError(f"{method} {self.url}{path}: status {answer.status_code}: {detail}")
        return answer

    def _send(self, method: str, path: str, content: Mapping[str, Any]) -> requests.Response:
        try:
            return self._session.request(
                method,
                f"{self.url}{path}",
                headers={"Authorization": self._authorization()},
                timeout=TIMEOUT_S,
                **content,
            )
        except requests.RequestException as error:
            raise LabelStudioError(
                f"nothing answers at {self.url}: start Label Studio with `make label-studio`, or set {URL_VARIABLE}"
            ) from error

    def _authorization(self) -> str:
        if self.token.count(".") != 2:
            return f"Token {self.token}"
        if not self._access:  # a personal token is a JWT that only buys others
            answer = self._session.post(
                f"{self.url}/api/token/refresh", json={"refresh": self.token}, timeout=TIMEOUT_S
            )
            if not answer.ok:
                raise LabelStudioError(
                    f"Label Studio at {self.url} does not take the token in {TOKEN_VARIABLE}"
                )
            self._access = str(answer.json()["access"])
        return f"Bearer {self._access}"


def label_config(labels: Sequence[str]) -> str:
    """The labelling configuration: one photo, one choice."""
    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)
    return (
        # The note is text of this project alone: what a caller said, what the model said.
        f'<View><Header value="$note" size="5"/><Image name="{TO_NAME}" value="$image" zoom="true"/>'
        f'<Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single" showInline="true">{choices}</Choices></View>'
    )


def choice(label: str) -> dict[str, Any]:
    """One chosen label, as predictions and annotations have it."""
    return {
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "type": "choices",
        "value": {"choices": [label]},
    }


def prediction(label: str, score: float, model_version: str) -> dict[str, Any]:
    """A pre-label: the model's top label with its calibrated probability."""
    return {"model_version": model_version, "score": round(score, 4), "result": [choice(label)]}
