"""`lenslet label backend`: the prediction backend as a server on the loopback, unless told otherwise."""

import os
from pathlib import Path

from lenslet.inference.errors import InputError


def serve_backend(endpoint: str, host: str, port: int, counter: Path, enough: int) -> int:
    from lenslet.labelling.backend import Backend, Counter, application
    from lenslet.labelling.label_studio import TOKEN_VARIABLE, LabelStudio
    from lenslet.serving.http.server import open_port, run

    if not endpoint.startswith(("http://", "https://")):
        raise InputError(f"--endpoint takes an address that begins with http:// or https://, not {endpoint}")
    studio = LabelStudio.from_environment() if os.environ.get(TOKEN_VARIABLE, "").strip() else None
    try:
        listener = open_port(host, port)
    except OSError as error:
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}") from error

    def tell(count: int) -> None:
        if count % enough == 0:
            print(f"{enough:,} more annotations, {count:,} in all: run `lenslet retrain`", flush=True)

    backend = Backend(
        endpoint.rstrip("/"),
        Counter(counter),
        os.environ.get("LENSLET_API_KEY", ""),
        studio,
        os.environ.get("LABEL_STUDIO_WEBHOOK_SECRET", ""),
        tell,
    )
    address = listener.getsockname()
    print(f"the backend answers on http://{address[0]}:{address[1]} (Ctrl-C stops it)", flush=True)
    run(application(backend), listener)
    return 0
