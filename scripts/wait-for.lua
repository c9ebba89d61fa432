-- Waits until somebody else has executed a Once; then runs the command, if there is one.
--
--   ONCE=shop.migrate VERSION=1.4.2 konductor run @wait-for -- gunicorn shop.admin
--
-- For an initContainer, a Job or another Deployment that needs what the first one does. It runs nothing of that itself, and
-- needs no right but to read. VERSION (default: the declared one, else the one claimed last); TIMEOUT (default: none), then 75.
local k = require "konductor"

k.once(k.env "ONCE"):wait { version = k.env("VERSION", nil), timeout = k.env("TIMEOUT", nil) }
