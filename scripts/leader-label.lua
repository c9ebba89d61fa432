-- As @leader, and the leader's Pod carries a label, so that a Service finds the leader.
--
--   LEASE=shop-leader konductor run @leader-label -- worker
--
-- LABEL (default "konductor.io/leader=$LEASE") goes into the Service's selector. It is of this lease alone: other Pods that
-- carry it lose it. The replica's name must be that of its Pod, as it is by default. TTL (15s) as for @leader.
local k = require "konductor"
local name = k.env("LEASE", "leader")

k.lease(name) {
  ttl = k.env("TTL", "15s"),
  pod_label = k.env("LABEL", "konductor.io/leader=" .. name),
}
