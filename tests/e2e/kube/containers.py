"""Pods of a Deployment without a kubelet: each container is a process with its command, its environment, its volumes and
its service account, in a root of its own, where it is PID 1.

    with Pods(api, replicas, "my-app", namespace, image) as pods: ...

The image of a container is a directory whose files stand in /usr/local/bin before those of this machine.
"""

import json
import os
import shutil
import signal
import subprocess

import just_one_init as joi
from lib import Replica, children, wait_for

# $1 is an empty directory for the root, $2 that of the service account; then pairs of a path in the root and what is
# to be there, up to "--". What runs at last has the pid of this shell.
ENTER = """\
set -e
root=$1 account=$2
shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
for each in /*; do
  if [ -L "$each" ]; then cp -P "$each" "$root$each"
  elif [ -d "$each" ]; then mkdir "$root$each"; [ "$each" = /proc ] || [ "$each" = /run ] || mount --rbind "$each" "$root$each"
  fi
done
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/secrets/kubernetes.io/serviceaccount"
mount --bind "$account" "$root/run/secrets/kubernetes.io/serviceaccount"
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir -p "$root$1"; else touch "$root$1"; fi
  mount --bind "$2" "$root$1"
  shift 2
done
shift
exec chroot "$root" "$@"
"""
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


def namespaces():
    """What begins a command line in namespaces of its own; None where that is not allowed."""
    argv = [*NAMESPACES, *([] if os.geteuid() == 0 else ["--map-root-user"])]
    return argv if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0 else None


class Pods:
    """Of one Deployment. `image` is the directory of our own image's files; `programs` of those of the application."""

    def __init__(self, api, cluster, namespace, name):
        self.api, self.cluster, self.namespace = api, cluster, namespace
        shown = api.kubectl("get", "deployment", name, "-n", namespace, "-o", "json").stdout
        made = json.loads(shown)["spec"]
        self.replicas, self.spec = made["replicas"], made["template"]["spec"]
        self.image = cluster.directory / "image"
        self.programs = cluster.directory / "programs"
        for directory in (self.image, self.programs):
            directory.mkdir(exist_ok=True)

    def install(self, *names):
        """Puts our program into the image, under these names."""
        for name in names:
            shutil.copy(joi.link(self.cluster).resolve(), self.image / name)

    def program(self, name, text):
        (self.programs / name).write_text(text, encoding="utf-8")
        (self.programs / name).chmod(0o755)

    def rules(self):
        """Waits until the API server knows what the service account may do; gives a token of it."""
        account = self.spec["serviceAccountName"]
        token = self.api.service_account_token(self.namespace, account)
        shown = self.api.kubectl("get", "role", account, "-n", self.namespace, "-o", "json").stdout
        for rule in json.loads(shown)["rules"]:
            self.api.wait_allowed(self.namespace, token, rule)
        return token

    def env(self, container, pod):
        fields = {"metadata.namespace": self.namespace, "metadata.name": pod}
        made = {each["name"]: each["value"] if "value" in each else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
                for each in container.get("env", [])}
        path = f"{self.programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {**self.api.pod_env(), "KONDUCTOR_STORE": None, "HOSTNAME": pod, "PATH": path, **made}

    def wrapper(self, container, pod, token, image=None, files=()):
        """What stands before the command of a container; volumes are directories of the pod."""
        root = self.cluster.directory / f"{pod}.root"
        root.mkdir(exist_ok=True)
        places = list(files)
        for mount in container.get("volumeMounts", []):
            volume = self.cluster.directory / f"{pod}.{mount['name']}"
            volume.mkdir(exist_ok=True)
            places.append((mount["mountPath"], volume))
        if image:
            places.append(("/usr/local/bin", image))
        pairs = [str(each) for place in places for each in place]
        account = self.api.in_cluster_dir(self.namespace, token)
        return [*namespaces(), "sh", "-c", ENTER, "pod", str(root), str(account), *pairs, "--"]

    def start(self, pod, token, command=None, env=None, files=()):
        """Runs the initContainers one after the other, and starts the container. `command` is that of its image."""
        outputs = []
        for container in self.spec.get("initContainers", []):
            done = subprocess.run([*self.wrapper(container, pod, token, self.image), *container["command"]],
                                  env=self.cluster.env(self.env(container, pod)), capture_output=True, text=True, timeout=600,
                                  check=False)
            if done.returncode != 0:
                raise AssertionError(f"{container['name']} of {pod}: {done.returncode}\n{done.stderr}")
            outputs.append(done.stdout)
        container, = self.spec["containers"]
        argv = container.get("command", command)
        replica = joi.start(self.cluster, pod, argv[1:], program=argv[0], env={**self.env(container, pod), **(env or {})},
                            wrapper=self.wrapper(container, pod, token, files=files))
        replica.outputs = outputs
        return replica

    def probe(self, replica, name):
        """Asks as the kubelet would, on the port that the pod has: whether it succeeded."""
        container, = self.spec["containers"]
        probe = container[name]
        if "httpGet" in probe:
            return 200 <= joi.ask(replica, probe["httpGet"]["path"])[0] < 400
        argv = [word.replace(":5047", f":{joi.port(replica)}") for word in probe["exec"]["command"]]
        return subprocess.run(argv, capture_output=True, timeout=600, check=False).returncode == 0


def first_process(replica):
    """PID 1 of a pod, as this machine numbers it."""
    return wait_for(lambda: children(replica.pid), what=f"PID 1 of {replica.name}")[0]


def crash(replica: Replica):
    """Its container is gone at once, as when a node dies: all its processes."""
    os.kill(first_process(replica), signal.SIGKILL)
    replica.wait()
