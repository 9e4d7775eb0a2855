"""Expected failures, each with the sentence that its caller reads: of requests (code, HTTP status) and of commands."""


class InputError(Exception):
    """Bad input to a command: a path, a value, a folder or a model that cannot be used.

    The message is one sentence with the remedy. `lenslet.cli` prints it and ends with exit code 2.
    """


class LensletError(Exception):
    """A failure the caller can act on; the message is one sentence, safe to show to untrusted callers."""

    status = 500
    code = "internal_error"


class BadRequest(LensletError):
    """The request is not what `openapi.yaml` describes."""

    status = 400
    code = "bad_request"


class KeyMissing(LensletError):
    status = 401
    code = "key_missing"


class KeyRefused(LensletError):
    status = 403
    code = "key_refused"


class UnknownPath(LensletError):
    status = 404
    code = "not_found"


class MethodNotAllowed(LensletError):
    status = 405
    code = "method_not_allowed"


class RequestTimeout(LensletError):
    """The client was too slow to send its request; only `lenslet serve` raises it."""

    status = 408
    code = "request_timeout"


class RequestTooLarge(LensletError):
    """The body, or what a link delivers, has more bytes than the limit."""

    status = 413
    code = "request_too_large"


class ImageTooLarge(LensletError):
    """Decoding the picture would exceed the limit of memory or time for one picture."""

    status = 413
    code = "image_too_large"


class NotAnImage(LensletError):
    """The bytes are not of a format that `lenslet.inference.decode` reads."""

    status = 415
    code = "not_an_image"


class NotAnImageLink(LensletError):
    """The link delivers a page, JSON or nothing: it probably leads to a page that shows the photo."""

    status = 415
    code = "not_an_image_link"


class BrokenImage(LensletError):
    """The format is known, but the picture is truncated, damaged or has samples without an 8-bit equivalent."""

    status = 422
    code = "broken_image"


class LinkRefused(LensletError):
    """The link has a scheme or a host that the service does not fetch."""

    status = 422
    code = "link_refused"


class TooMuchFeedback(LensletError):
    """More corrections arrived than this process takes in a minute or a day."""

    status = 429
    code = "too_much_feedback"


class LinkFailed(LensletError):
    """The link's server could not be reached or did not deliver."""

    status = 502
    code = "link_failed"


class Overloaded(LensletError):
    """More requests are waiting than the server admits; only `lenslet serve` raises it."""

    status = 503
    code = "overloaded"


class LinkTimeout(LensletError):
    """The link's server was too slow."""

    status = 504
    code = "link_timeout"


class ArtifactError(InputError):
    """The model folder is missing, incomplete or inconsistent: the service must not start with it."""
