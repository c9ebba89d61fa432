"""Containers of an image without an engine: the archive is unpacked as a runtime would, and crun runs it as a kubelet under
the restricted Pod Security level would have it run: not root, nothing to be written but the volumes, no capability.

    image = Image(archive, directory)
    done = image.run("version")
    with image.start("run", "/etc/script.lua", volumes={"/etc": directory}) as container: container.exec("/konductor", "probe")
"""

import hashlib
import json
import os
import subprocess
import tarfile
import uuid
from pathlib import Path

from lib import PATIENCE, wait_for

ROOT = Path(__file__).resolve().parents[3]
# Without cgroups, which a test need not have; crun wants to see a kind of them that it knows all the same.
CRUN = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /sys/fs/cgroup && exec crun --cgroup-manager=disabled "$@"',
        "crun"]
NAMESPACES = ("pid", "mount", "ipc", "uts", "network")
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
]


def archive():
    """What tools/image built."""
    path = Path(os.environ.get("KONDUCTOR_IMAGE", ROOT / "build" / "image" / "konductor.oci.tar"))
    if not path.is_file():
        raise RuntimeError(f"{path} is not there: run tools/image, or set KONDUCTOR_IMAGE")
    return path


class Image:
    """An OCI image whose files lie in `root`; `config` is its configuration, `members` is what its layers have in them."""

    def __init__(self, path, directory):
        self.directory = Path(directory)
        self.root = self.directory / "rootfs"
        self.root.mkdir()
        self.members = []
        with tarfile.open(path) as outer:
            index = json.load(outer.extractfile("index.json"))
            manifest = self.blob(outer, index["manifests"][0])
            self.config = self.blob(outer, manifest["config"])
            for layer in manifest["layers"]:
                with tarfile.open(fileobj=outer.extractfile(self.path(layer))) as inner:
                    self.members += inner.getmembers()
                    inner.extractall(self.root, numeric_owner=True)

    @staticmethod
    def path(descriptor):
        return "blobs/" + descriptor["digest"].replace(":", "/")

    def blob(self, outer, descriptor):
        data = outer.extractfile(self.path(descriptor)).read()
        if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor["digest"]:
            raise AssertionError(f"{descriptor['digest']} is not what it says")
        return json.loads(data)

    def command(self, words, command):
        """As in a manifest: `command` is in the place of the image's entrypoint, words are its arguments."""
        return [*(command or self.config["config"]["Entrypoint"]), *words]

    def bundle(self, argv, env, volumes, root, host_network):
        """volumes: path in the container -> directory or file of this machine, or (that, "ro")."""
        made = self.config["config"]
        user, group = map(int, made["User"].split(":"))
        binds = [(path, source if isinstance(source, tuple) else (source, "rw")) for path, source in (volumes or {}).items()]
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": user, "gid": group}, "args": [str(word) for word in argv], "cwd": "/",
                "env": [*made["Env"], *(f"{name}={value}" for name, value in (env or {}).items())],
                "noNewPrivileges": True, "capabilities": {},
            },
            "root": {"path": str(root or self.root), "readonly": True},
            "mounts": MOUNTS + [{"destination": path, "type": "bind", "source": str(source), "options": ["bind", how]}
                                for path, (source, how) in binds],
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES if kind != "network" or not host_network]},
        }
        directory = self.directory / uuid.uuid4().hex
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return directory

    def start(self, *words, command=None, env=None, volumes=None, root=None, host_network=False):
        """A container that runs; `root`, instead of the image's files, is the image of another program."""
        return Container(self.bundle(self.command(words, command), env, volumes, root, host_network))

    def run(self, *words, **how):
        """Runs a container to its end; gives its exit code and what it wrote."""
        with self.start(*words, **how) as container:
            return container.wait()


class Container:
    """One that crun runs; leaving the block ends it."""

    def __init__(self, bundle):
        self.name = "konductor-test-" + bundle.name
        self.bundle = bundle
        self.crun = [*CRUN, "--root", str(bundle / "crun")]
        self.output = open(bundle / "output", "wb")
        self.process = subprocess.Popen([*self.crun, "run", "--bundle", str(bundle), self.name], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.crun, "delete", "--force", self.name], capture_output=True, check=False)
        self.process.kill()
        self.process.wait()
        self.output.close()

    def said(self):
        return (self.bundle / "output").read_text(encoding="utf-8", errors="replace")

    def wait_said(self, text):
        wait_for(lambda: text in self.said(), what=f"{text!r}", describe=self.said)

    def wait(self):
        code = self.process.wait(timeout=300 * PATIENCE)
        return subprocess.CompletedProcess(self.process.args, code, self.said(), "")

    def exec(self, *argv):
        """One more command in it, as an exec probe is: the same user, the same root."""
        return subprocess.run([*self.crun, "exec", self.name, *argv], capture_output=True, text=True,
                              timeout=300 * PATIENCE, check=False)

    def kill(self, signal):
        subprocess.run([*self.crun, "kill", self.name, signal], check=True, capture_output=True)

    def status(self):
        """Of its first process, as the kernel has it: /proc/PID/status, and how its root is mounted."""
        state = json.loads(subprocess.run([*self.crun, "state", self.name], check=True, capture_output=True).stdout)
        proc = Path("/proc") / str(state["pid"])
        fields = dict(line.split(":\t", 1) for line in proc.joinpath("status").read_text().splitlines() if ":\t" in line)
        mounts = [line.split() for line in proc.joinpath("mountinfo").read_text().splitlines()]
        return fields, next(words[5].split(",") for words in mounts if words[4] == "/")
