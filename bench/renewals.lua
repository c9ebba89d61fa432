--- A million renewals of one lease in the in-memory world: does memory grow, and what does
--- a renewal allocate?
---
---   luajit bench/renewals.lua [RENEWALS]
---
--- Everything that a renewal passes through is the shipped code: decision, compare-and-swap,
--- re-arming of the deadman. The store and the clock are simulated, so figures of memory are
--- an upper bound (the simulated store copies each record three times) and the time is only
--- of use to compare two runs of this program.

package.path = "lua/?.lua;" .. package.path

local elect = require "konductor.elect"
local sim = require "konductor.sim.world"

local RENEWALS = tonumber(arg[1]) or 1000000
local PERIOD_MS = 5000

local renewals = 0
local s = sim.new {
  commands = { work = { run_ms = 1e12 } },
  on_event = function(event)
    if event.event == "renew" then
      renewals = renewals + 1
    end
  end,
}
s:start("a", function(w)
  return elect.run(w, { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "work" } } })
end)

local function run(count)
  local goal = renewals + count
  s:run_until(function() return renewals >= goal end, (count + 10) * PERIOD_MS)
  assert(renewals >= goal, "the lease was lost")
end

local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count"
end

run(math.floor(RENEWALS / 10))
local before = kilobytes()
local highest = before
local started = os.clock()
for _ = 1, 9 do
  run(math.floor(RENEWALS / 10))
  highest = math.max(highest, kilobytes())
end
local seconds = os.clock() - started
local measured = 9 * math.floor(RENEWALS / 10)

collectgarbage "stop"
local from = collectgarbage "count"
run(10000)
local bytes = (collectgarbage "count" - from) * 1024 / 10000
collectgarbage "restart"

print(("renewals             %d, over %.0f simulated days"):format(renewals, s:time_ms() / 86400000))
print(("memory               %.0f KB after a tenth, %.0f KB at most after: %+.1f bytes a renewal"):format(
  before, highest, (highest - before) * 1024 / measured))
print(("garbage per renewal  %.0f bytes, simulated store and clock included"):format(bytes))
print(("time per renewal     %.1f us of processor"):format(seconds / measured * 1e6))

if highest - before > 64 then
  print "memory GREW"
  os.exit(1)
end
