-- flock(1) for many machines: its command line behind "--", the name of a lock in place of a file.
--
--   konductor run @flock -- -n nightly pg_dump shop        konductor run @flock -- -w 60 -E 9 nightly -c "make report"
--
-- -n does not wait, -w SECONDS waits so long, -E CODE (1) is the exit code if the lock was not to be had; -x, -e, -o and -F
-- change nothing here. /var/lock/nightly is "nightly". TTL (15s) is how long the others wait for a holder that has vanished.
local k = require "konductor"
local words, at = k.command, 1
local wait = { ttl = k.env("TTL", "15s") }
local conflict = 1

local function value(option)
  at = at + 1
  return assert(tonumber(words[at]), "flock: a number is expected after " .. option)
end

while words[at]:find "^%-." do
  local option = words[at]
  if option == "-n" then
    wait.wait = false
  elseif option == "-w" then
    local seconds = value(option)
    wait.timeout, wait.wait = seconds ~= 0 and seconds .. "s" or nil, seconds ~= 0 and wait.wait
  elseif option == "-E" then
    conflict = value(option)
    local is_code = conflict % 1 == 0 and conflict >= 0 and conflict <= 255
    assert(is_code, "flock: -E is " .. conflict .. "; an exit code is expected")
  else
    assert(option:find "^%-[xeoF]$", "flock: " .. option .. " is not known here; there are -n, -w SECONDS, -E CODE, -x")
  end
  at = at + 1
  assert(words[at], "flock: the name of a lock is missing")
end

local name, command = words[at]:match "[^/]*$", { unpack(words, at + 1) }
if command[1] == "-c" then
  command = { "sh", "-c", assert(command[2], "flock: a command is expected after -c") }
end
assert(command[1], "flock: a command is expected after the lock")

local ok, problem = pcall(k.lease(name).with, k.lease(name), wait, function()
  k.exec(command)
end)
if not ok then
  if type(problem) == "table" and problem.code == "timeout" then
    problem.exit = conflict
  end
  error(problem, 0)
end
