-- Runs $INIT_1, $INIT_2... in order, each once for each $IMAGE_TAG, before the command.
--
--   INIT_1="flyway migrate" INIT_2="seed" IMAGE_TAG=1.4.2 konductor run @init-stages -- gunicorn shop.wsgi
--
-- A stage is claimed by one replica; a restart resumes at the first that is not done.
-- APP (default "app") names the records.
local k = require "konductor"

local flow = { version = k.env "IMAGE_TAG", k.main() }
local number, command, before = 1, k.env "INIT_1", nil
while command do
  local name = "stage-" .. number
  flow[#flow + 1] = k.stage(name) { run = { "sh", "-c", command }, after = before }
  number, before = number + 1, name
  command = k.env("INIT_" .. number, nil)
end

k.flow(k.env("APP", "app"))(flow)
