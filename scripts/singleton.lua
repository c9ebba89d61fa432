-- Runs the command unless it is running somewhere already; then it ends with 0 at once.
--
--   LOCK=nightly-report konductor run @singleton -- make-report
--
-- For a CronJob whose runs must not overlap, whichever node they start on. TTL (15s) is how long a holder that has
-- vanished keeps others out.
local k = require "konductor"
local command = k.command

local ran, why = k.lease(k.env("LOCK", "singleton")):try({ ttl = k.env("TTL", "15s") }, function()
  k.exec(command)
end)
if not ran then
  k.log("not started: " .. why)
end
