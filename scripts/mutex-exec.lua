-- Runs the command while nobody else who asks for the same LOCK runs; waits for its turn.
--
--   LOCK=backup WAIT=5m konductor run @mutex-exec -- pg_dump shop
--
-- As flock(1), but on every store. Exit code: that of the command; 75 when the turn did not
-- come within WAIT (default: any time).
local k = require "konductor"
local command = k.command

k.lease(k.env("LOCK", "lock")):with({ timeout = k.env("WAIT", nil) }, function()
  k.exec(command)
end)
