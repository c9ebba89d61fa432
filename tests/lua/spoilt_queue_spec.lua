--- A queue that somebody has spoilt while replicas hold and wait: told, mended, and no reason to end anything.

package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local elect = require "konductor.elect"
local play = require "lib.play"

local COMMANDS = { serve = { run_ms = 3600000, term_ms = 50 } }
local TTL_MS = 15000

local candidate = cast.replica_of(elect.run, function()
  return { name = "x", spec = { ttl = "15s" }, ttl_ms = TTL_MS, work = { argv = { "serve" } }, stop_grace_ms = 3000 }
end)
local world, stored, line_up = cast.world_of(COMMANDS), cast.stored_of "Lease", cast.line_up_of(candidate)

local function spoil(s, waiters)
  local record = stored(s)
  record.status.waiters = waiters
  assert(s.store:replace(record, record.status))
end

-- Who waits by the record: names, or what stands there instead of a list.
local function names(s)
  local list = {}
  for i, waiter in ipairs(stored(s).status.waiters or {}) do
    list[i] = type(waiter) == "table" and waiter.id or waiter
  end
  return list
end

describe("a queue that somebody has spoilt", function()
  it("is told of once by each who waits, joined again, and handed over as before", function()
    local told = {}
    local s = world { on_log = function(process, level, text)
      if level == "warn" and text:find("status.waiters has in it what is no waiter", 1, true) then
        told[#told + 1] = process.name
      end
    end }
    local a = line_up(s, "a", "b", "c")
    for _, spoilt in ipairs { "nothing", { 5, { id = "b" } } } do
      spoil(s, spoilt)
      s:run_for(2 * TTL_MS)
      local list = names(s)
      table.sort(list)
      assert.same({ "b", "c" }, list)
    end
    table.sort(told)
    assert.same({ "b", "c" }, told)
    a:stop()
    assert.is_true(s:run_until(function() return #s.runs == 2 end, 10000))
    play.judge(s, { open = true })
  end)

  it("is mended by the next renewal where nobody comes", function()
    local s = world()
    line_up(s, "a")
    spoil(s, { 5, { id = "ghost", session = "ghost", prio = 0 }, "x" })
    s:run_for(TTL_MS / 2)
    assert.same({ "ghost" }, names(s))
    assert.equal(1, #s.runs)
  end)
end)
