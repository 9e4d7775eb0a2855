"""Scans of a progressive JPEG (ITU T.81, annex G), of which each makes the whole picture finer."""

import re

END_OF_IMAGE, START_OF_SCAN = b"\xff\xd9", b"\xff\xda"
# A marker, but no stuffed byte, fill byte or restart marker of the compressed data.
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
PROGRESSIVE_FRAME = 0xC2
MAX_SEGMENTS = 1000  # photos have some dozens; each is read in Python
COEFFICIENTS = range(64)


def misses_refinement_alone(jpeg: bytes) -> bool:
    """Whether a progressive JPEG has no end marker, but is cut off in or after its last scan, which only refines.

    What may be missing are the last bits of some coefficients: less than a step of the quantisation.
    """
    if jpeg.rfind(END_OF_IMAGE, max(0, jpeg.rfind(START_OF_SCAN))) >= 0:
        return False
    components, is_refined = b"", False
    missing_bits: dict[tuple[int, int], int] = {}  # by component and coefficient
    place, segments = 2, 0  # behind the start marker
    while marker := MARKER.search(jpeg, place):
        segments += 1
        place = marker.end() + max(2, int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big"))
        segment = jpeg[marker.end() + 2 : place]
        if place > len(jpeg) or segments > MAX_SEGMENTS:
            return False
        if marker[1][0] == PROGRESSIVE_FRAME:
            components = segment[6::3]
        elif marker[0] == START_OF_SCAN and segment:
            ends = 1 + 2 * segment[0]
            first, last, bits = segment[ends : ends + 3].ljust(3, b"\0")
            is_refined = bits >> 4 > 0
            for component in segment[1:ends:2]:
                missing_bits |= {(component, each): bits & 15 for each in range(first, min(last, 63) + 1)}
    return is_refined and all(
        missing_bits.get((component, each), 1) == 0 for component in components for each in COEFFICIENTS
    )
