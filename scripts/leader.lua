-- One replica runs the command, the others stand by and take over when it ends or dies.
--
--   LEASE=shop-leader konductor run @leader -- worker
--
-- TTL (15s) is how long the others wait for a leader that has vanished; PRIORITY (0) lets a
-- replica go before others in the queue. The command finds its fencing number in KONDUCTOR_TOKEN.
local k = require "konductor"

k.lease(k.env("LEASE", "leader")) {
  ttl = k.env("TTL", "15s"),
  priority = assert(tonumber(k.env("PRIORITY", "0")), "PRIORITY is not a number"),
}
