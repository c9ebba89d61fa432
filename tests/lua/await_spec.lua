--- Waiting for what somebody else executes.

package.path = "tests/lua/?.lua;" .. package.path
local await = require "konductor.await"
local cast = require "lib.cast"
local claim = require "konductor.claim"
local play = require "lib.play"

local COMMANDS = { migrate = { run_ms = 20000 }, fails = { run_ms = 500, code = 3 } }

local executor = cast.replica_of(claim.run, function()
  return { name = "x", version = "v1", ttl_ms = 15000, work = { argv = { "migrate" } }, stop_grace_ms = 10000 }
end)
local onlooker = cast.replica_of(await.run, function()
  return { name = "x", version = "v1" }
end)
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Once"

describe("an onlooker", function()
  it("waits for a record that is not there yet, through the work, to its success", function()
    local s = world()
    local process = s:start("o", onlooker())
    s:run_for(60000)
    assert.is_false(process.done)
    s:start("a", executor())
    s:run_for(19000)
    assert.is_false(process.done)
    local result = play.finish(s, process)
    assert.same({ "done", "a" }, { result.outcome, result.executor })
    play.judge(s)
  end)

  it("writes nothing, neither record nor claim", function()
    local s = world()
    local writes = 0
    table.insert(s.store.listeners, function() writes = writes + 1 end)
    local process = s:start("o", onlooker { timeout_ms = 1000 })
    assert.equal("timeout", play.finish(s, process).outcome)
    assert.same({ 0, nil }, { writes, stored(s) })
  end)

  it("goes on at once when it was done before, also as an older version", function()
    local s = world()
    play.finish(s, s:start("a", executor()))
    play.finish(s, s:start("a", executor { version = "v2" }))
    local t = s:time_ms()
    for _, version in ipairs { "v1", "v2" } do
      assert.equal("done", play.finish(s, s:start("o", onlooker { version = version })).outcome)
    end
    assert.equal(t, s:time_ms())
  end)

  it("waits for its own version, not for another one", function()
    local s = world()
    play.finish(s, s:start("a", executor()))
    local process = s:start("o", onlooker { version = "v2" })
    s:run_for(600000)
    assert.is_false(process.done)
    play.finish(s, s:start("b", executor { version = "v2" }))
    assert.equal("done", play.finish(s, process).outcome)
  end)

  it("is told of work that failed for good, and waits while attempts are left", function()
    local s = world()
    local process = s:start("o", onlooker())
    s:start("a", executor { work = { argv = { "fails" } }, max_attempts = 2, backoff_ms = 30000 })
    s:run_for(10000)
    assert.is_false(process.done)
    local result = play.finish(s, process)
    assert.equal("failed", result.outcome)
    assert.truthy(result.detail:find("failed for good after 2 attempts", 1, true))
  end)

  it("says that a person has to decide where the executor of at-most-once work is gone", function()
    local said = {}
    local s = cast.world_of(COMMANDS) { on_log = function(process, _, text)
      said[#said + 1] = process.name == "o" and text or nil
    end }
    local a = s:start("a", executor { mode = "AtMostOnce" })
    s:run_for(1000)
    a:crash()
    assert.equal("doubt", play.finish(s, s:start("b", executor { mode = "AtMostOnce" })).outcome)
    local process = s:start("o", onlooker())
    s:run_for(60000)
    assert.is_false(process.done)
    assert.truthy(table.concat(said, "\n"):find("has run a person has to say: koncli once resolve", 1, true))
  end)

  it("does not count what was executed longer ago than its record is kept", function()
    local s = world()
    play.finish(s, s:start("a", executor { spec = { ttl = "60s" } }))
    s:run_for(120000)
    local process = s:start("o", onlooker())
    s:run_for(60000)
    assert.is_false(process.done)
  end)

  it("finds out by itself when its watch has lost the news", function()
    local s = world { watch_fault = function(replica) return replica == "o" and { lose = true } or nil end }
    local process = s:start("o", onlooker())
    s:run_for(1000)
    play.finish(s, s:start("a", executor()))
    assert.is_false(process.done)
    assert.equal("done", play.finish(s, process).outcome)
    assert.is_true(s:time_ms() <= 330000, "found out at " .. s:time_ms())
  end)

  it("ends when it is asked to", function()
    local s = world()
    local process = s:start("o", onlooker())
    s:run_for(1000)
    process:stop()
    assert.equal("stopped", play.finish(s, process).outcome)
  end)
end)
