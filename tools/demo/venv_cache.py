"""The shop's Python packages: a virtual environment in the user's cache, made once for each requirements.txt."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"


def python():
    """The system's Python where there is one: a version manager's may be gone tomorrow."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else "python3"


def python_environment(say):
    """Path of the environment.  Takes seconds the first time; raises subprocess.CalledProcessError without network."""
    version = subprocess.run([python(), "-V"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256((version + REQUIREMENTS.read_text()).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "konductor"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"demo-{key}"
    with open(cache / f"demo-{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path / "complete").exists():
            say(f"     installing the shop's packages from PyPI into {path}")
            shutil.rmtree(path, ignore_errors=True)
            subprocess.run([python(), "-m", "venv", path], check=True)
            pip = [path / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
            (path / "complete").touch()
    return path
