"""A wall clock that tests can set wrong, built into kube-apiserver.

A Go program asks the kernel's vDSO for the time, so neither LD_PRELOAD nor a time namespace can shift its wall clock.
Instead go build -overlay gives it a package time with one more file, clock/shift.go, and one more line in Now().
"""

import json
import re

LINE = re.compile(r"(\nfunc Now\(\) Time \{\n\tsec, nsec, mono := \w+\(\)\n)")
MORE = "\tsec += shiftSeconds()\n"


def write(goroot, shift, directory):
    """Writes what -overlay needs into directory and returns the path of the JSON file.
    ValueError when this Go's Now() is not as known."""
    source = goroot / "src" / "time" / "time.go"
    text, count = LINE.subn(r"\1" + MORE, source.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{source}: Now() begins in a way that konkube/overlay.py does not know")
    patched = directory / "time.go"
    patched.write_text(text, encoding="utf-8")
    overlay = directory / "overlay.json"
    overlay.write_text(json.dumps({"Replace": {
        str(source): str(patched),
        str(source.parent / "konductor_shift.go"): str(shift),
    }}))
    return overlay
