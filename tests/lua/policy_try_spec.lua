--- A policy of one's own by one who does not wait: a holder that died or vanished does not keep it out for ever.

package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local play = require "lib.play"
local policy = require "konductor.policy"
local ttl = require "konductor.ttl"

local COMMANDS = { serve = { run_ms = 3600000 }, brief = { run_ms = 100 } }

-- One at a time, as short as it can be written.
local MUTEX = {
  kind = "Mutex",
  decide = function(record, me, now)
    local holder = record.status.holder
    if holder and now < me.lapses_at(holder) then
      return { act = "wait", until_ms = me.lapses_at(holder), peers = { holder.session }, why = "taken" }
    end
    local mine = { session = me.session, op = me.op, ttlMs = me.ttl_ms }
    return { act = "take", status = { holder = mine, op = me.op, fence = me.next_fence }, why = "free" }
  end,
  held = function(record, me)
    return record.status.holder ~= nil and record.status.holder.session == me.session
  end,
  renew = function(record, me)
    local mine = { session = me.session, op = me.op, ttlMs = me.ttl_ms }
    return { holder = mine, op = me.op, fence = record.status.fence }
  end,
  release = function(record, me)
    return { op = me.op, fence = record.status.fence }
  end,
}

local function run(w, options)
  return policy.run(w, MUTEX, options)
end

local replica = cast.replica_of(run, function()
  return { name = "x", ttl_ms = 15000, work = { argv = { "serve" } } }
end)
local world = cast.world_of(COMMANDS)

-- Tries until it is had; how often, and how long after the crash.
local function try_after_crash(options, skew_ms)
  local s = world(options)
  local a = s:start("a", replica())
  s:run_for(1000)
  a:crash()
  local from, tries, outcome = s:time_ms(), 0
  repeat
    s:run_for(500)
    local o = { wait = false, skew_ms = skew_ms, work = { argv = { "brief" } } }
    outcome, tries = play.finish(s, s:start("b" .. tries, replica(o))).outcome, tries + 1
  until outcome ~= "busy" or tries == 100
  assert.equal("ran", outcome)
  return tries, s:time_ms() - from
end

describe("a policy of one's own by one who does not wait", function()
  it("has what a dead process held at once, where the store tells of deaths", function()
    assert.equal(1, (try_after_crash({}, 0)))
  end)

  it("has what was held by who vanished once it is old, after watching for its ttl", function()
    local _, age_ms = try_after_crash({ peers = false }, 5000)
    local old_ms = 15750 + ttl.GRAIN_MS + 5000
    assert.is_true(age_ms > old_ms - 5000 + 15750 and age_ms < old_ms + 2500 + 15750, "after " .. age_ms)
  end)

  it("is refused while the holder lives", function()
    local s = world()
    s:start("a", replica())
    for i = 1, 60 do
      s:run_for(1000)
      assert.equal("busy", play.finish(s, s:start("b" .. i, replica { wait = false, skew_ms = 0 })).outcome)
      local try = cast.reads_ahead(replica { wait = false, skew_ms = 0 }, 3600000)
      assert.equal("busy", play.finish(s, s:start("c" .. i, try)).outcome)
    end
  end)
end)
