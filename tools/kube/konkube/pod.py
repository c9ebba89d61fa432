"""The inside of a pod, for programs that look for it: the mounted service account and the environment.

    d = c.in_cluster_dir(namespace, token)
    subprocess.run([*c.pod_argv(d), "konductor", ...], env={**os.environ, **c.pod_env()})

The directory looks as the kubelet makes it: the files are links into ..data, itself a link, and rotate_token() puts a
new set in its place at once. pod_argv() mounts it where a pod has it, in a mount namespace of the program's own; it
needs root or user namespaces. The process that runs is the program itself, with the same pid.
"""

import os
import secrets

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# /run is replaced, as it may lack the directory: what this machine has there is not what a pod has.
SCRIPT = f"""\
set -e
mount --bind "$1" "$2"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p {MOUNT}
mount --move "$2" {MOUNT}
shift 2
exec "$@"
"""


class Pod:
    """Part of Cluster (cluster.py)."""

    def in_cluster_dir(self, namespace, token, ca_pem=None):
        """Writes token, ca.crt and namespace as a pod sees them; returns the directory."""
        directory = self.directory / f"serviceaccount-{secrets.token_hex(4)}"
        directory.mkdir(mode=0o755)
        self.publish(directory, {"token": token, "ca.crt": ca_pem or self.ca_pem, "namespace": namespace})
        return directory

    def rotate_token(self, directory, token):
        """A new token in the directory, as the kubelet does it: readers see the old or the new set of files."""
        files = {name: (directory / name).read_text(encoding="ascii") for name in ("ca.crt", "namespace")}
        self.publish(directory, {**files, "token": token})

    def publish(self, directory, files):
        version = directory / f"..{secrets.token_hex(8)}"
        version.mkdir(mode=0o755)
        for name, text in files.items():
            (version / name).write_text(text, encoding="ascii")
            if not (directory / name).is_symlink():
                (directory / name).symlink_to(f"..data/{name}")
        new = directory / "..data_tmp"
        new.symlink_to(version.name)
        old = os.readlink(directory / "..data") if (directory / "..data").is_symlink() else None
        new.rename(directory / "..data")
        if old:
            for path in (directory / old).iterdir():
                path.unlink()
            (directory / old).rmdir()

    def pod_env(self, server=0, host="127.0.0.1", port=None):
        """What the kubelet puts into the environment; port: a proxy's instead of the server's."""
        return {"KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": str(port or self.state["ports"][server]), "KUBECONFIG": ""}

    def pod_argv(self, directory):
        """What to put before a command line so that the directory is mounted as in a pod."""
        step = self.directory / "mount-step"
        step.mkdir(exist_ok=True)
        user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", "--mount", *user, "sh", "-c", SCRIPT, "pod", str(directory), str(step)]
