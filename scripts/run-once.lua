-- Runs the command to completion once for each VERSION, whoever starts it and how often.
--
--   NAME=import VERSION=2026-07 konductor run @run-once -- import-data
--
-- As a Job with backoffLimit RETRIES (3), once per version: those who come later wait for it and
-- end with 0. KEEP (default: for ever) is how long its record is kept, as ttlSecondsAfterFinished.
local k = require "konductor"
local command = k.command

k.once(k.env("NAME", "job")):run({
  version = k.env("VERSION", ""),
  retries = assert(tonumber(k.env("RETRIES", "3")), "RETRIES is not a number"),
  ttl = k.env("KEEP", nil),
}, function()
  k.exec(command)
end)
