--- What `just-one-init --help` says.

local M = {}

M.USAGE = "Usage: just-one-init [OPTIONS] --lease-name <LEASE_NAME> [--] COMMAND..."

M.TEXT = M.USAGE .. [[


Runs COMMAND in one replica at a time; the others stand by. Which one, a Lease of Kubernetes says.
This is konductor under the name of just-one-init.

Options:
  -l, --lease-name <NAME>        Lease that the replicas compete for [env: LEASE_NAME]
  -p, --pod-namespace <NAME>     its namespace [env: POD_NAMESPACE] [default: that of the pod]
  -o, --hostname <NAME>          name of this replica, for people [env: HOSTNAME]
                                 [default: the host name]
  -a, --listen-addr <ADDRESS>    where probes are answered, or "off" [env: LISTEN_ADDR]
                                 [default: [::]:5047]
  -t, --lease-ttl <SECONDS>      how long the others wait for a replica that has vanished; it is
                                 renewed three times in that time [env: LEASE_TTL] [default: 15]
  -r, --reelect-after <TIME>     leads no longer than that while others wait, e.g. 30min, "1h 30m"
                                 [env: REELECT_AFTER] [default: for ever]
  -h, --help                     this text
  -V, --version                  the version

Other environment: RUST_LOG, what is logged: error, warn, info (default), debug. KUBECONFIG, which
cluster, outside of a pod. KONDUCTOR_STORE, where the Lease is: kube-lease (default), or sqlite for
replicas on one machine.

Probes: / and /healthcheck answer 200 while COMMAND may run, 404 on standby, 503 while stopping;
also /livez, /readyz, /leaderz, /metrics.

Exit code: that of COMMAND, 128+n after signal n; 2 when the command line or a variable is wrong;
others as those of konductor run.
]]

return M
