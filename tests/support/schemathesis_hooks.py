"""Generators of pictures and links for schemathesis, which imports this by SCHEMATHESIS_HOOKS."""

import base64

import schemathesis
from hypothesis import strategies as st

from fuzz.seeds import pictures

PICTURES = st.sampled_from(pictures())
# Hosts are addresses, so that no name is looked up.
LINKS = [
    "http://127.0.0.1/a.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "s3://bucket/key",
    "file:///",
    "a",
]

schemathesis.openapi.media_type("image/*", PICTURES)
schemathesis.openapi.format("picture", PICTURES.map(lambda data: base64.b64encode(data).decode()))
schemathesis.openapi.format("photo", PICTURES)
schemathesis.openapi.format("link", st.sampled_from(LINKS))
