package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local claim = require "konductor.claim"
local play = require "lib.play"

local COMMANDS = {
  migrate = { run_ms = 20000, term_ms = 100 },
  brief = { run_ms = 2000 },
  stubborn = { run_ms = 3600000, term_ms = false },
  ["for-ever"] = { run_ms = 3600000, term_ms = 100 },
  fails = { run_ms = 500, code = 3 },
  polite = { run_ms = 3600000, term_ms = 100, term_code = 0 },
}

local replica = cast.replica_of(claim.run, function()
  return { name = "x", version = "v1", ttl_ms = 15000, work = { argv = { "migrate" } }, stop_grace_ms = 10000 }
end)
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Once"
local running, until_running, line_up = cast.running, cast.until_running, cast.line_up_of(replica)

local function outcomes(...)
  local list = {}
  for i, result in ipairs { ... } do
    list[i] = result.outcome
  end
  return table.concat(list, " ")
end

describe("work done once", function()
  it("is run by one of five, the others wait for its success and skip", function()
    local s = world { latency_ms = 2 }
    local processes = {}
    for i = 1, 5 do
      processes[i] = s:start("r" .. i, replica())
    end
    s:run_for(19000)
    for i = 1, 5 do
      assert.is_false(processes[i].done)
    end
    local results = { play.finish(s, unpack(processes)) }
    table.sort(results, function(a, b) return a.outcome < b.outcome end)
    assert.equal("ran skipped skipped skipped skipped", outcomes(unpack(results)))
    assert.equal(1, #s.runs)
    assert.is_true(s:time_ms() <= 20000 + 30, "the last went on at " .. s:time_ms())
    play.judge(s)
  end)

  it("hands the number of the claim and its names to the command", function()
    local s = world()
    local result = play.finish(s, s:start("a", replica { env = { KONDUCTOR_STAGE = "migrate" } }))
    local env = s.runs[1].env
    assert.same({ "a", "x", tostring(result.token), "migrate" },
      { env.KONDUCTOR_HOLDER, env.KONDUCTOR_ONCE, env.KONDUCTOR_TOKEN, env.KONDUCTOR_STAGE })
  end)

  it("is skipped at once by one that comes later, and by its restart", function()
    local s = world()
    assert.equal("ran", play.finish(s, s:start("a", replica())).outcome)
    local t = s:time_ms()
    local again, later = play.finish(s, s:start("a", replica()), s:start("b", replica()))
    assert.equal("skipped skipped", outcomes(again, later))
    assert.same({ "a", "a" }, { again.executor, later.executor })
    assert.equal(t, s:time_ms())
    assert.equal(1, #s.runs)
    play.judge(s)
  end)

  it("is renewed while it runs", function()
    local s = world()
    s:start("a", replica { work = { argv = { "for-ever" } } })
    s:run_for(60500)
    assert.equal(12, stored(s).status.renewals)
    assert.equal("a", running(s))
  end)

  it("may be a function, which learns its number and attempt", function()
    local s = world()
    local told
    local result = play.finish(s, s:start("a", replica { work = function(hold)
      told = { hold.token, hold.attempt, hold.version }
      return "value"
    end }))
    assert.same({ "ran", "value" }, { result.outcome, result.work.value })
    assert.same({ result.token, 1, "v1" }, told)
    play.judge(s)
  end)
end)

describe("a failure", function()
  it("is followed by the next replica, and by success in the end", function()
    local s
    s = world { commands = { migrate = function(_, name)
      return name == "a" and { run_ms = 1000, code = 1 } or { run_ms = 1000 }
    end } }
    local a = s:start("a", replica { max_attempts = 5 })
    until_running(s, "a")
    local b = s:start("b", replica { max_attempts = 5 })
    assert.equal("skipped ran", outcomes(play.finish(s, a, b)))
    assert.equal("a b", play.runners(s))
    assert.equal(2, stored(s).status.attempts)
    play.judge(s)
  end)

  it("of the last attempt is final for everybody, with what there is to know", function()
    local s = world()
    local a = s:start("a", replica { work = { argv = { "fails" } }, max_attempts = 3 })
    local b = s:start("b", replica { work = { argv = { "fails" } }, max_attempts = 3 })
    local ra, rb = play.finish(s, a, b)
    assert.equal("failed failed", outcomes(ra, rb))
    assert.same({ 3, 3, "exit code 3" }, { ra.attempts, ra.exit_code, ra.last_error })
    assert.equal(3, #s.runs)
    local late = play.finish(s, s:start("c", replica { max_attempts = 3 }))
    assert.equal("failed", late.outcome)
    assert.equal(3, #s.runs)
    play.judge(s)
  end)

  it("is followed by the pause that was asked for, doubling, counted by each that waits", function()
    local s = world()
    local o = { work = { argv = { "fails" } }, max_attempts = 3, backoff_ms = 10000 }
    play.finish(s, s:start("a", replica(o)), s:start("b", replica(o)))
    local starts = {}
    for i, run in ipairs(s.runs) do
      starts[i] = run.from_us / 1000
    end
    assert.is_true(starts[2] - starts[1] >= 10500 and starts[2] - starts[1] < 11500, tostring(starts[2]))
    assert.is_true(starts[3] - starts[2] >= 20500 and starts[3] - starts[2] < 21500, tostring(starts[3]))
    play.judge(s)
  end)

  it("to start the command is a failed attempt that says so", function()
    local s = world()
    local result = play.finish(s, s:start("a", replica { work = { argv = { "nothing" } }, max_attempts = 1 }))
    assert.same({ "failed", 127 }, { result.outcome, result.exit_code })
    play.judge(s)
  end)

  it("of a function keeps its message", function()
    local s = world()
    local result = play.finish(s, s:start("a", replica { max_attempts = 1, work = function()
      error("no such table", 0)
    end }))
    assert.equal("failed", result.outcome)
    assert.is_truthy(result.last_error:find("no such table", 1, true))
    play.judge(s)
  end)

  it("by its time limit is a failed attempt", function()
    local s = world()
    local result = play.finish(s, s:start("a", replica {
      work = { argv = { "for-ever" } }, run_timeout_ms = 7000, max_attempts = 1,
    }))
    assert.same({ "failed", 124 }, { result.outcome, result.exit_code })
    assert.equal(7100, s.runs[1].to_us / 1000)
    play.judge(s)
  end)
end)

describe("the end of an executor", function()
  it("by SIGKILL is followed at once by another, counted as an attempt", function()
    local s = world()
    local a = line_up(s, "a")
    local b, c = s:start("b", replica()), s:start("c", replica())
    s:run_for(7000)
    a:crash()
    local t = s:time_ms()
    s:run_until(function() return #s.runs == 2 end)
    assert.is_true(s:time_ms() - t < 5)
    local results = { play.finish(s, b, c) }
    table.sort(results, function(x, y) return x.outcome < y.outcome end)
    assert.equal("ran skipped", outcomes(unpack(results)))
    assert.equal(2, stored(s).status.attempts)
    play.judge(s)
  end)

  it("in a store that knows of no sessions is followed after its time and not before", function()
    local s = world { peers = false }
    local a = line_up(s, "a")
    s:start("b", replica())
    s:run_for(7000) -- renewed at 5 s
    a:crash()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal(5000 + 15750, s:time_ms())
    play.judge(s, { open = true })
  end)

  it("after its work and before its record makes the work run again", function()
    local s
    s = world { peers = false, fault = function(op)
      if op.process == "a" and op.status and op.status.executed then
        s.first:crash()
        return { lose = "request" }
      end
    end }
    s.first = s:start("a", replica { work = { argv = { "brief" } } })
    local b = s:start("b", replica { work = { argv = { "brief" } } })
    assert.equal("ran", play.finish(s, b).outcome)
    assert.equal("a b", play.runners(s))
    assert.equal(2, stored(s).status.attempts)
    play.judge(s)
  end)

  it("in its last allowed attempt makes the work failed for good", function()
    local s = world()
    local a = s:start("a", replica { max_attempts = 1 })
    until_running(s, "a")
    local b = s:start("b", replica { max_attempts = 1 })
    s:run_for(1000)
    a:crash()
    local result = play.finish(s, b)
    assert.equal("failed", result.outcome)
    assert.is_truthy(result.last_error:find("vanished", 1, true))
    assert.equal(1, #s.runs)
    play.judge(s)
  end)
end)

describe("a stop", function()
  it("while it works gives the claim back uncounted, and the next begins at once", function()
    local s = world()
    local a = s:start("a", replica { max_attempts = 1 })
    until_running(s, "a")
    local b = s:start("b", replica { max_attempts = 1 })
    s:run_for(5000)
    a:stop()
    local result = play.finish(s, a)
    assert.same({ "stopped", 143 }, { result.outcome, result.code })
    assert.equal("ran", play.finish(s, b).outcome)
    assert.equal("a b", play.runners(s))
    play.judge(s)
  end)

  it("is no success of work that exits 0 when it is interrupted", function()
    local s = world()
    local a = s:start("a", replica { work = { argv = { "polite" } } })
    until_running(s, "a")
    a:stop()
    assert.equal("stopped", play.finish(s, a).outcome)
    assert.is_false(stored(s).status.executed)
    play.judge(s)
  end)

  it("while it waits ends the wait and writes nothing", function()
    local s = world()
    local a, b = line_up(s, "a", "b")
    local writes = play.count_writes(s)
    b:stop()
    assert.equal("stopped", play.finish(s, b).outcome)
    assert.equal(0, writes.n)
    assert.equal("ran", play.finish(s, a).outcome)
  end)
end)

describe("a replica that does not wait", function()
  it("says who does it, and when another look is worth it", function()
    local s = world()
    line_up(s, "a")
    local result = play.finish(s, s:start("b", replica { wait = false }))
    assert.same({ "busy", "a" }, { result.outcome, result.executor })
    assert.is_true(result.until_ms > 0)
  end)

  it("takes over from an executor that is dead at once, from one that vanished when its claim lapses", function()
    for _, peers in ipairs { true, false } do
      local s = world { peers = peers }
      local a = line_up(s, "a")
      a:crash()
      local tries, outcome = 0
      repeat
        s:run_for(500)
        local o = { wait = false, skew_ms = 0, work = { argv = { "brief" } } }
        outcome, tries = play.finish(s, s:start("b" .. tries, replica(o))).outcome, tries + 1
      until outcome ~= "busy" or tries == 100
      assert.equal("ran", outcome)
      assert.equal(peers, tries == 1)
      play.judge(s)
    end
  end)

  it("is not taken from an executor that lives, however wrong the clock of the server is that is asked", function()
    local s = world { peers = false }
    s:start("a", replica { work = { argv = { "for-ever" } } })
    until_running(s, "a")
    for i = 1, 12 do
      s:run_for(1700)
      local try = replica { wait = false, skew_ms = 5000, work = { argv = { "brief" } } }
      assert.equal("busy", play.finish(s, s:start("b" .. i, cast.reads_ahead(try, 3600000))).outcome)
    end
    play.judge_runs(s)
  end)

  it("says retry after its own failed attempt, failed after the last one", function()
    local s = world()
    local o = { wait = false, work = { argv = { "fails" } }, max_attempts = 2 }
    local function twice(w)
      local first = claim.run(w, { name = "x", ttl_ms = 15000, wait = false, work = o.work, max_attempts = 2 })
      w.sleep(1000)
      return { first, claim.run(w, { name = "x", ttl_ms = 15000, wait = false, work = o.work, max_attempts = 2 }) }
    end
    local results = play.finish(s, s:start("a", twice))
    assert.equal("retry failed", outcomes(unpack(results)))
    assert.same({ 1, 3 }, { results[1].attempts, results[1].exit_code })
  end)

  it("is given up after the time of its wait", function()
    local s = world()
    s:start("a", replica { work = { argv = { "for-ever" } } })
    until_running(s, "a")
    local t = s:time_ms()
    assert.equal("timeout", play.finish(s, s:start("b", replica { timeout_ms = 9000 })).outcome)
    assert.equal(9000, s:time_ms() - t)
  end)
end)

describe("versions of one name", function()
  it("never run at once, and each is done once", function()
    local s = world { latency_ms = 1 }
    local processes = {}
    for i, version in ipairs { "v1", "v2", "v1", "v2", "v3" } do
      processes[i] = s:start("r" .. i, replica { version = version, work = { argv = { "brief" } } })
    end
    local results = { play.finish(s, unpack(processes)) }
    local ran = 0
    for _, result in ipairs(results) do
      ran = ran + (result.outcome == "ran" and 1 or 0)
    end
    assert.equal(3, ran)
    assert.equal(3, #s.runs)
    play.judge(s)
  end)

  it("that were done are found done after a rollback", function()
    local s = world()
    play.finish(s, s:start("a", replica { version = "v1" }))
    play.finish(s, s:start("a", replica { version = "v2" }))
    local back = play.finish(s, s:start("a", replica { version = "v1" }))
    assert.same({ "skipped", "v1" }, { back.outcome, back.version })
    assert.equal(2, #s.runs)
    play.judge(s)
  end)

  it("begin with all their attempts", function()
    local s = world()
    play.finish(s, s:start("a", replica { work = { argv = { "fails" } }, max_attempts = 2 }))
    local result = play.finish(s, s:start("a", replica { version = "v2", max_attempts = 2 }))
    assert.equal("ran", result.outcome)
    assert.equal(1, stored(s).status.attempts)
    play.judge(s)
  end)
end)

describe("a record with a ttl", function()
  local function short(options)
    local o = { spec = { ttl = "1h" }, work = { argv = { "brief" } } }
    for key, value in pairs(options or {}) do
      o[key] = value
    end
    return replica(o)
  end

  it("is kept until then, counted from completion, and run again after", function()
    local s = world()
    play.finish(s, s:start("a", short()))
    s:run_until(2000 + 3600000 - 1)
    assert.equal("skipped", play.finish(s, s:start("a", short())).outcome)
    s:run_for(1)
    local fence = stored(s).status.fence
    assert.equal("ran", play.finish(s, s:start("a", short())).outcome)
    assert.is_true(stored(s).status.fence > fence)
    assert.equal(1, #play.events(s, "collect"))
    play.judge(s)
  end)

  it("is never collected while it is claimed", function()
    local s = world()
    s:start("a", short { spec = { ttl = "1s" }, work = { argv = { "for-ever" } } })
    until_running(s, "a")
    s:start("b", short { spec = { ttl = "1s" } })
    s:run_for(60000)
    assert.equal("a", running(s))
    assert.equal(0, #play.events(s, "collect"))
    play.judge(s, { open = true })
  end)

  it("is made anew as it was declared, but for what its maker says itself", function()
    local s = world()
    s.store:create("Once", "x", { ttl = "1h", version = "v7", maxAttempts = 2, backoff = "1s" })
    play.finish(s, s:start("a", short { spec = {} }))
    s:run_for(3600000)
    play.finish(s, s:start("a", short { spec = { backoff = "2s" } }))
    assert.equal(1, #play.events(s, "collect"))
    assert.same({ ttl = "1h", version = "v7", maxAttempts = 2, backoff = "2s" }, stored(s).spec)
    assert.is_true(stored(s).status.executed)
    play.judge(s)
  end)

  it("that two collect at once runs once", function()
    local s = world { latency_ms = 3 }
    play.finish(s, s:start("a", short()))
    s:run_until(2000 + 3600000 + 100)
    play.finish(s, s:start("b", short()), s:start("c", short()), s:start("d", short()))
    assert.equal(2, #s.runs)
    play.judge(s)
  end)
end)

describe("at-most-once work", function()
  local function careful(options)
    local o = { mode = "AtMostOnce" }
    for key, value in pairs(options or {}) do
      o[key] = value
    end
    return replica(o)
  end

  it("whose executor vanished is in doubt for all, and starts no more", function()
    local s = world()
    local a = s:start("a", careful())
    until_running(s, "a")
    local b = s:start("b", careful())
    s:run_for(1000)
    a:crash()
    assert.equal("doubt", play.finish(s, b).outcome)
    assert.equal("doubt", play.finish(s, s:start("c", careful())).outcome)
    assert.equal("doubt", play.finish(s, s:start("a", careful())).outcome)
    assert.equal(1, #s.runs)
    play.judge(s)
  end)

  it("is done once when all goes well", function()
    local s = world()
    assert.equal("ran skipped", outcomes(play.finish(s, s:start("a", careful()), s:start("b", careful()))))
    play.judge(s)
  end)

  it("does not start again in the same process when its record could not be written", function()
    local s = world()
    local cut = false
    s.fault = function(op)
      cut = cut or op.status ~= nil and op.status.executed
      return cut and op.verb == "replace" and { code = "too_big", detail = "no" } or nil
    end
    local function twice(w)
      local first = careful { work = { argv = { "brief" } } }(w)
      s.fault = nil
      return { first, careful { work = { argv = { "brief" } } }(w) }
    end
    assert.equal("error doubt", outcomes(unpack(play.finish(s, s:start("a", twice)))))
    assert.equal(1, #s.runs)
  end)

  it("that was stopped before its command began may start elsewhere", function()
    local s = world { commands = { slow = { start_ms = 1000, run_ms = 2000 }, migrate = COMMANDS.migrate } }
    local a = s:start("a", careful { work = { argv = { "slow" } } })
    s:run_until(500)
    a:stop()
    assert.equal("stopped", play.finish(s, a).outcome)
    assert.equal("ran", play.finish(s, s:start("b", careful())).outcome)
    assert.equal("b", play.runners(s))
    assert.equal("cancelled", play.events(s, "stop")[1].failed)
    play.judge(s)
  end)

  it("that failed or was stopped does not start again", function()
    local s = world()
    assert.equal("failed", play.finish(s, s:start("a", careful { work = { argv = { "fails" } } })).outcome)
    assert.equal("failed", play.finish(s, s:start("b", careful())).outcome)
    local t = world()
    local a = t:start("a", careful())
    until_running(t, "a")
    a:stop()
    assert.equal("stopped", play.finish(t, a).outcome)
    assert.equal("failed", play.finish(t, t:start("b", careful())).outcome)
    assert.equal(1, #t.runs)
    play.judge(t)
  end)
end)

describe("an executor that cannot renew", function()
  it("has its work killed before another takes over, and then skips", function()
    local s = world { peers = false }
    local a = s:start("a", replica { work = { argv = { "migrate" } } })
    until_running(s, "a")
    local b = s:start("b", replica { work = { argv = { "brief" } } })
    s:run_for(1000)
    a:partition "both"
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("b", running(s))
    a:partition(nil)
    assert.equal("skipped ran", outcomes(play.finish(s, a, b)))
    play.judge(s)
  end)

  it("and finds its claim with another is superseded, overwrites nothing and says so", function()
    local s = world { peers = false }
    local a = s:start("a", replica { work = { argv = { "brief" } } })
    until_running(s, "a")
    s:run_for(1000)
    a:freeze "supervisor"
    s:start("b", replica { work = { argv = { "for-ever" } } })
    s:run_until(function() return #s.runs == 2 end)
    local theirs = stored(s).status
    a:thaw()
    local result = play.finish(s, a)
    assert.equal("superseded", result.outcome)
    assert.equal(0, result.work.code)
    assert.is_true(stored(s).status.fence >= theirs.fence)
    assert.equal("b", stored(s).status.executor)
    assert.equal("b", running(s))
  end)

  it("knows its record when the news of it came before the answers to its own requests", function()
    local s = world { latency_ms = 2, watch_sends_record = true }
    local since
    s.fault = function(op)
      since = since or op.status and op.status.executed and s:time_ms() or nil
      return since and s:time_ms() < since + 8000 and { lose = "answer" } or nil
    end
    assert.equal("ran", play.finish(s, s:start("a", replica { work = { argv = { "brief" } } })).outcome)
    assert.is_true(s:time_ms() < 9000, "took until " .. s:time_ms())
    assert.equal(1, stored(s).status.attempts)
    play.judge(s)
  end)

  it("because another has its claim is killed at once and superseded", function()
    local s = world()
    local a = line_up(s, "a")
    s:run_for(1000)
    local record = stored(s)
    record.status.executor, record.status.session, record.status.fence = "thief", "another", record.status.fence + 1
    assert(s.store:replace(record, record.status))
    local result = play.finish(s, a)
    assert.same({ "superseded", 137 }, { result.outcome, result.work.code })
    assert.equal(1000, s.runs[1].to_us / 1000)
    assert.equal("thief", stored(s).status.executor)
  end)

  it("and is stopped before it knows whether its success is recorded says so", function()
    local s = world { peers = false }
    local a = s:start("a", replica { work = { argv = { "brief" } } })
    until_running(s, "a")
    a:partition "answers"
    s:run_for(10000)
    a:stop()
    local result = play.finish(s, a)
    assert.same({ "error", "unknown" }, { result.outcome, result.code })
    assert.is_truthy(result.detail:find("the work is done but", 1, true))
    assert.equal(1, #play.events(s, "unconfirmed"))
    assert.is_true(s:time_ms() <= 12000 + 12000, "took until " .. s:time_ms())
    assert.equal("skipped", play.finish(s, s:start("b", replica())).outcome)
    play.judge(s)
  end)

  it("but whose work ended well is recorded late, if nobody came", function()
    local s = world { peers = false }
    local a = s:start("a", replica { work = { argv = { "brief" } } })
    until_running(s, "a")
    a:partition "both"
    s:run_for(30000)
    a:partition(nil)
    assert.equal("ran", play.finish(s, a).outcome)
    assert.is_true(stored(s).status.executed)
    play.judge(s)
  end)
end)

describe("any single lost, late, doubled or refused call", function()
  for name, fault in pairs {
    ["answer lost"] = { lose = "answer" }, ["request lost"] = { lose = "request" }, ["lands late"] = { late_ms = 3000 },
    ["delivered twice"] = { twice = true }, ["store busy"] = { code = "busy" }, ["read stale"] = { stale = true },
  } do
    it(name .. ": runs once, is recorded, and all others skip", function()
      for nth = 1, 8 do
        for _, verb in ipairs { "replace", "create", "get" } do
          local s = world { latency_ms = 2, peers = false, fault = cast.fault_of(verb, nth, fault) }
          local processes = {}
          for i = 1, 3 do
            processes[i] = s:start("r" .. i, replica { work = { argv = { "brief" } } })
          end
          play.finish(s, unpack(processes))
          assert.equal(1, #s.runs)
          assert.is_true(stored(s).status.executed)
          play.judge(s)
        end
      end
    end)
  end
end)

describe("a store that went back", function()
  it("is refused with its own word", function()
    local s = world()
    local a = s:start("a", replica { work = { argv = { "for-ever" } } })
    until_running(s, "a")
    local old = s.store.server:save()
    s:run_for(6000)
    s.store.server:restore(old) -- restored from a backup of before the first renewal
    local result = play.finish(s, a)
    assert.same({ "error", "rolled_back" }, { result.outcome, result.code })
    assert.is_nil(running(s))
  end)
end)

describe("a deleted record", function()
  it("kills the work that ran under it, and the work is done again under a higher number", function()
    local s = world()
    local a = line_up(s, "a")
    s:run_for(1000)
    local record = stored(s)
    assert(s.store:delete(record))
    assert.equal("ran", play.finish(s, a).outcome)
    assert.equal(2, #s.runs)
    assert.is_true(stored(s).status.fence > record.status.fence)
    play.judge(s)
  end)
end)

describe("a record that is being deleted", function()
  -- Lets the record of that world stay, once it is deleted, until the finalizer is taken away.
  local function finalizers(s, list)
    local resource = "onces.konductor.io"
    local object = s.store.server:call({ verb = "get", resource = resource, namespace = "default", name = "x" }).body
    local metadata = { resourceVersion = object.metadata.resourceVersion, finalizers = list }
    local answer = s.store.server:call {
      verb = "update", resource = resource, namespace = "default", name = "x",
      body = { metadata = metadata, spec = object.spec },
    }
    assert.equal(200, answer.status)
  end

  local function delete(s)
    s.store:delete(stored(s))
    assert.is_true(stored(s).deleting)
  end

  it("lets what runs go on to its end and be recorded, and nobody begins anew until it is gone", function()
    local s = world()
    local a = line_up(s, "a")
    local b = s:start("b", replica { version = "v2" })
    finalizers(s, { "a/b" })
    delete(s)
    assert.equal("ran", outcomes(play.finish(s, a)))
    assert.same({ true, "v1", 0 }, { stored(s).status.executed, stored(s).status.version, s.runs[1].code })
    s:run_for(600000)
    assert.is_false(b.done)
    assert.equal(1, #s.runs)
    finalizers(s, nil)
    assert.equal("ran", outcomes(play.finish(s, b)))
    assert.equal("v2", stored(s).status.version)
  end)

  it("is not claimed when it is free, nor taken over from an executor that is dead", function()
    for _, crash in ipairs { false, true } do
      local s = world()
      local a = s:start("a", replica { work = { argv = { "for-ever" } } })
      until_running(s, "a")
      finalizers(s, { "a/b" })
      delete(s)
      if crash then
        a:crash()
      else
        a:stop()
      end
      local b = s:start("b", replica())
      s:run_for(600000)
      assert.is_false(b.done)
      assert.equal(1, #s.runs)
    end
  end)

  it("is still the proof that its work was done, and is not collected a second time", function()
    local s = world()
    play.finish(s, s:start("a", replica { work = { argv = { "brief" } }, spec = { ttl = "1s" } }))
    finalizers(s, { "a/b" })
    delete(s)
    s:run_for(5000)
    local b = s:start("b", replica())
    assert.equal("skipped", outcomes(play.finish(s, b)))
  end)
end)
