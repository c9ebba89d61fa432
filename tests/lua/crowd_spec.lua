package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local elect = require "konductor.elect"
local play = require "lib.play"

local TTL_MS = 30000
local FULL = 32 -- places in a queue

local candidate = cast.replica_of(elect.run, function()
  return { name = "x", spec = { ttl = "30s" }, ttl_ms = TTL_MS, work = { argv = { "serve" } }, stop_grace_ms = 10000 }
end)
local world, stored = cast.world_of { serve = { run_ms = 3600000, term_ms = 100 } }, cast.stored_of "Lease"

local function queue(s)
  return #(stored(s).status.waiters or {})
end

local function crowd_behind_a(latency_ms)
  local s = world { latency_ms = latency_ms }
  s:start("a", candidate())
  cast.until_running(s, "a")
  for i = 1, 100 do
    s:start("w" .. i, candidate())
  end
  return s
end

describe("a crowd that joins over a slow store", function()
  for _, latency_ms in ipairs { 300, 800 } do
    it(("does not keep the holder from renewing, %d ms each way"):format(latency_ms), function()
      local s = crowd_behind_a(latency_ms)
      for _ = 1, 8 do
        s:run_for(TTL_MS)
        assert.equal("a", stored(s).status.holder)
      end
      assert.equal(FULL, queue(s))
      play.judge(s, { open = true })
    end)
  end

  it("fills the queue in seconds where the store is quick", function()
    local s = crowd_behind_a(10)
    s:run_for(3000)
    assert.equal(FULL, queue(s))
    play.judge(s, { open = true })
  end)
end)
