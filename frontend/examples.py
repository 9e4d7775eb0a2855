"""Request examples for the endpoint in use: curl, Python and JavaScript."""

import json
import shlex

CURL = """\
curl --fail-with-body {address} \\
  --header 'Content-Type: image/jpeg' \\{key}
  --data-binary @photo.jpg"""

PYTHON = """\
import base64
{imports}from pathlib import Path

import requests

photo = base64.b64encode(Path("photo.jpg").read_bytes()).decode()
answer = requests.post(
    {address},
    json={{"image": photo, "explain": True}},{key}
    timeout=35,
)
answer.raise_for_status()
best = answer.json()["predictions"][0]
print(best["label"], best["probability"])"""

JAVASCRIPT = """\
// Node.js: save as photo.mjs. In a browser, take `input.files[0]` for the body.
import {{ readFile }} from "node:fs/promises";

const answer = await fetch({address}, {{
  method: "POST",
  headers: {{ "Content-Type": "image/jpeg"{key} }},
  body: await readFile("photo.jpg"),
}});
if (!answer.ok) throw new Error(await answer.text());
const [best] = (await answer.json()).predictions;
console.log(best.label, best.probability);"""


def curl(endpoint: str, has_key: bool) -> str:
    # The shell inserts the key, so that it is neither on the page nor in a shell's history.
    key = '\n  --header "X-Api-Key: $LENSLET_API_KEY" \\' if has_key else ""
    return CURL.format(address=shlex.quote(f"{endpoint}/predict"), key=key)


def python(endpoint: str, has_key: bool) -> str:
    key = '\n    headers={"X-Api-Key": os.environ["LENSLET_API_KEY"]},' if has_key else ""
    imports = "import os\n" if has_key else ""
    return PYTHON.format(address=json.dumps(f"{endpoint}/predict"), key=key, imports=imports)


def javascript(endpoint: str, has_key: bool) -> str:
    key = ', "X-Api-Key": process.env.LENSLET_API_KEY' if has_key else ""
    return JAVASCRIPT.format(address=json.dumps(f"{endpoint}/predict"), key=key)


LANGUAGES = {"curl": curl, "Python": python, "JavaScript": javascript}
