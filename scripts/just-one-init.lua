-- One replica runs the command, the others stand by: as just-one-init does, on the same Lease of Kubernetes.
--
--   LEASE_NAME=my-lease konductor run @just-one-init --store kube-lease -- worker
--
-- LEASE_TTL (15) is in whole seconds. REELECT_AFTER (a duration, default never) lets whoever waits have a turn after that
-- time. Under the name just-one-init, konductor runs this with that program's flags and environment.
local k = require "konductor"

k.lease(k.env "LEASE_NAME") {
  ttl = k.env("LEASE_TTL", "15") .. "s",
  reelect_after = k.env("REELECT_AFTER", nil),
}
