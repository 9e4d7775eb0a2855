"""The `LENSLET_*` environment variables: what each means, and the check that none is mistyped.

The service starts with defaults where a variable is not set, so a mistyped name would silently switch a protection off:
`LENSLET_API_KEY` instead of `LENSLET_API_KEYS` lets everybody in. Therefore unknown names stop the start.
"""

import re
from collections.abc import Mapping

PREFIX = "LENSLET_"
SERVICE_SETTINGS = {
    "LENSLET_MODEL": "path of the model folder",
    "LENSLET_MODELS": "names and folders of further models",
    "LENSLET_SHADOW": "folder of a candidate model that answers a sample for comparison",
    "LENSLET_SHADOW_SHARE": "share of the answers that the candidate is compared on",
    "LENSLET_API_KEYS": "SHA-256 hashes of the accepted API keys",
    "LENSLET_BASE_PATH": "path under which a custom domain or a proxy has the service",
    "LENSLET_CORS_ORIGINS": "origins whose web pages may read the answers",
    "LENSLET_LINK_HOSTS": "hosts that http(s) links may name",
    "LENSLET_S3_BUCKETS": "buckets that s3:// links may name",
    "LENSLET_FORMATS": "picture formats that are read",
    "LENSLET_FEEDBACK": "folder or s3://bucket/prefix in which corrections are stored",
    "LENSLET_TRAINING_KEYS": "SHA-256 hashes of the keys of lenslet serve --with-training",
    "LENSLET_CONTACT": "address of a page about this deployment, sent when links are fetched",
    "LENSLET_SERVICE_NAME": "name of this deployment in logs and metrics",
    "LENSLET_LOG_LEVEL": "least level of the lines of log that are written",
    "LENSLET_METRICS_DISABLED": "whether the lines of metrics are left out of the log",
}
FORMER_PREFIX = "POWERTOOLS_"  # of the last three, until version 0.3
# Of `lenslet test`, `lenslet accept`, the page and compose.yaml. The service ignores them, because one shell or .env
# file may serve both sides.
CLIENT_SETTINGS = {
    "LENSLET_API_KEY": "the API key that a client sends",
    "LENSLET_BEARER_KEY": "a second API key that a client sends, as a bearer token",
    "LENSLET_ENDPOINT": "address of the endpoint that the page asks",
    "LENSLET_PUBLIC_ENDPOINT": "address of the endpoint in the page's examples",
    "LENSLET_SAMPLES": "folder of the samples that the page offers",
    "LENSLET_PUBLISH": "network address on which Docker Compose publishes the ports",
}
CLIENT_KEYS = ("LENSLET_API_KEY", "LENSLET_BEARER_KEY")
# Kubernetes sets these in every pod for a service whose name begins with "lenslet", for example LENSLET_PORT_80_TCP.
KUBERNETES = re.compile(
    r"LENSLET_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


def check_settings(environment: Mapping[str, str]) -> None:
    """Refuse unknown `LENSLET_*` variables, and a client's key where the service has no hash of any key.

    Blank variables count as not set. Raises: ValueError, naming the variable and the one that was probably meant.
    """
    given = sorted(name for name, value in environment.items() if value.strip())
    for name in given:
        if name.upper().startswith(PREFIX) and not _is_known(name):
            raise ValueError(f"{name} is not a setting of Lenslet; {_suggestion(name)}")
    for name in given:
        if (renamed := name.replace(FORMER_PREFIX, PREFIX)) != name and renamed in SERVICE_SETTINGS:
            raise ValueError(f"{name} is called {renamed} now")
    for name in CLIENT_KEYS:
        if name in given and "LENSLET_API_KEYS" not in given:
            raise ValueError(
                f"{name} is a client's setting and lets everybody in here: put the SHA-256 hash of the key into "
                f"LENSLET_API_KEYS, or unset {name} to serve without keys"
            )


def read_entries(
    environment: Mapping[str, str], setting: str, form: re.Pattern[str], kind: str, is_secret: bool = False
) -> list[str]:
    """The comma-separated entries of a setting, all of the given form.

    Raises: ValueError; it shows the malformed entry unless `is_secret`.
    """
    text = environment.get(setting, "").strip()
    entries = [entry.strip() for entry in text.split(",")] if text else []
    for number, entry in enumerate(entries, start=1):
        if not form.fullmatch(entry):
            found = f"what stands there as number {number}" if is_secret else repr(entry)
            raise ValueError(f"{setting} takes {kind}, separated by commas, not {found}")
    return entries


def _is_known(name: str) -> bool:
    return name in SERVICE_SETTINGS or name in CLIENT_SETTINGS or bool(KUBERNETES.fullmatch(name))


def _suggestion(name: str) -> str:
    """The setting that was probably meant; those of the service first, since it is the one that starts."""
    from difflib import get_close_matches  # only failures need it

    wanted = name.upper().removeprefix(PREFIX)  # the prefix alone would make all of them similar
    for settings in (SERVICE_SETTINGS, CLIENT_SETTINGS):
        close = get_close_matches(wanted, [each.removeprefix(PREFIX) for each in settings], n=1)
        if close:
            return f"did you mean {PREFIX}{close[0]} ({settings[PREFIX + close[0]]})?"
    return f"those of the service are {', '.join(SERVICE_SETTINGS)}"
