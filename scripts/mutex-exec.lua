-- Runs the command while nobody else who asks for the same LOCK runs; waits for its turn.
--
--   LOCK=backup WAIT=5m konductor run @mutex-exec -- pg_dump shop
--
-- As flock(1), but on every store. Exit code: that of the command; 75 when the turn did not
-- come within WAIT (default: any time). TTL (15s) is how long the others wait for a holder that has vanished.
local k = require "konductor"
local command = k.command

k.lease(k.env("LOCK", "lock")):with({ ttl = k.env("TTL", "15s"), timeout = k.env("WAIT", nil) }, function()
  k.exec(command)
end)
