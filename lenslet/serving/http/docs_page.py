"""The contract as one HTML page for people, which loads nothing from elsewhere."""

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

Node = dict[str, Any]

HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
        color-scheme: light dark }}
code, pre {{ font-family: ui-monospace, monospace; font-size: .9em }}
pre {{ overflow: auto; padding: .75rem; border: 1px solid #8884 }}
td, th {{ text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0 }}
</style>
"""
DOCS_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


def docs_page(contract: Node) -> str:
    """HTML of an OpenAPI document: its description, each operation with its answers, and the schemas."""
    title = f"{contract['info']['title']} {contract['info']['version']}"
    parts = [HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1>", *_prose(contract["info"])]
    parts.append('<p>For programs: <a href="openapi.json">openapi.json</a></p>')
    described = [
        (f"{method.upper()} {path}", operation)
        for path, operations in contract["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post")
    ]
    parts += _contents(described)
    for heading, operation in described:
        parts += _operation(contract, heading, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in contract["components"]["schemas"].items():
        parts.append(f'<h3 id="{escape(name)}">{escape(name)}</h3>')
        parts += [*_prose(schema), _code(schema)]
    return "\n".join(parts) + "\n</html>\n"


def _contents(described: list[tuple[str, Node]]) -> Iterator[str]:
    """Links to the operations: the page is twenty screens long."""
    yield "<nav><ul>"
    for heading, operation in described:
        link = f'<a href="#{_anchor(operation)}"><code>{escape(heading)}</code></a>'
        yield f"<li>{link} {_inline(operation.get('summary', ''))}</li>"
    yield "</ul></nav>"


def _anchor(operation: Node) -> str:
    return escape(f"operation-{operation['operationId']}")


def _operation(contract: Node, heading: str, operation: Node) -> Iterator[str]:
    yield f'<h2 id="{_anchor(operation)}"><code>{escape(heading)}</code></h2>'
    yield f"<p>{_inline(operation.get('summary', ''))}</p>"
    yield from _prose(operation)
    for name, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Request: <code>{escape(name)}</code></h3>"
        yield _code(content["schema"])
        for example in content.get("examples", {}).values():
            yield f"<p>{_inline(example['summary'])}</p>"
            yield _code(example["value"])
    yield "<h3>Answers</h3><table>"
    for status, response in operation["responses"].items():
        text = _inline(_resolved(contract, response)["description"])
        yield f"<tr><th>{escape(status)}</th><td>{text}</td></tr>"
    yield "</table>"


def _resolved(contract: Node, node: Node) -> Node:
    if "$ref" not in node:
        return node
    target = contract
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def _prose(node: Node) -> Iterator[str]:
    for paragraph in node.get("description", "").strip().split("\n\n"):
        yield f"<p>{_inline(paragraph)}</p>"


def _inline(text: str) -> str:
    """Markdown of one paragraph: `code` and **strong**."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def _code(value: object) -> str:
    """JSON, in which a reference to a schema is a link to it."""
    text = escape(json.dumps(value, indent=2, ensure_ascii=False), quote=False)
    return "<pre>" + re.sub(r'"#/components/schemas/(\w+)"', r'<a href="#\1">\1</a>', text) + "</pre>"
