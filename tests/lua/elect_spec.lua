package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local elect = require "konductor.elect"
local play = require "lib.play"
local ttl = require "konductor.ttl"

local COMMANDS = {
  serve = { run_ms = 3600000, term_ms = 100 },
  brief = { run_ms = 2000 },
  stubborn = { run_ms = 3600000, term_ms = false },
  fails = { run_ms = 500, code = 3 },
  forks = { run_ms = 1000, descendants = { { run_ms = 4000 } } },
  daemon = { run_ms = 1000, descendants = { { run_ms = 3600000, term_ms = 200 } } },
}

local candidate = cast.replica_of(elect.run, function()
  return { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "serve" } }, stop_grace_ms = 10000 }
end)
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Lease"
local running, until_running, line_up = cast.running, cast.until_running, cast.line_up_of(candidate)

describe("a lease that is free", function()
  it("is made, acquired and released by the only candidate in two writes", function()
    local s = world()
    local writes = play.count_writes(s)
    local a = s:start("a", candidate { work = { argv = { "brief" } } })
    local result = play.finish(s, a)
    assert.equal("ran", result.outcome)
    assert.equal(0, result.code)
    assert.equal("", stored(s).status.holder)
    assert.equal(2, writes.n)
    play.judge(s)
  end)

  it("hands the number of the hold and its names to the command", function()
    local s = world()
    local a = s:start("a", candidate { work = { argv = { "brief" }, env = { MORE = "1" } } })
    local result = play.finish(s, a)
    local env = s.runs[1].env
    assert.same({ "a", "x", tostring(result.token), "1" },
      { env.KONDUCTOR_HOLDER, env.KONDUCTOR_LEASE, env.KONDUCTOR_TOKEN, env.MORE })
  end)

  it("goes to one of ten that start at once", function()
    local s = world { latency_ms = 2 }
    local processes = {}
    for i = 1, 10 do
      processes[i] = s:start("r" .. i, candidate { work = { argv = { "brief" } } })
    end
    play.finish(s, unpack(processes))
    assert.equal(10, #s.runs)
    play.judge(s)
  end)

  it("with a queue goes to its head first, though another sees it sooner", function()
    local s = world()
    local head = s:boot "head"
    local record = s.store:create("Lease", "x", { ttl = "15s" })
    s.store:replace(record, { fence = 4, waiters = { { id = "head", session = head.session, prio = 0 } } })
    s:start("late", candidate { work = { argv = { "brief" } } })
    s:run_for(399)
    assert.is_nil(running(s))
    s:run_for(2)
    assert.equal("late", running(s)) -- the head did not come within its turn
    assert.is_nil(stored(s).status.waiters)
    assert.is_true(stored(s).status.fence > 4)
  end)

  it("stays the exit code of the work", function()
    local s = world()
    local result = play.finish(s, s:start("a", candidate { work = { argv = { "fails" } } }))
    assert.same({ "ran", 3 }, { result.outcome, result.code })
    local missing = play.finish(s, s:start("a", candidate { work = { argv = { "no-such-command" } } }))
    assert.same({ "ran", 127, "not_found" }, { missing.outcome, missing.code, missing.work.failed })
    assert.equal("", stored(s).status.holder)
    play.judge(s)
  end)

  it("is not waited for when wait is false and another holds it", function()
    local s = world()
    line_up(s, "a")
    local result = play.finish(s, s:start("b", candidate { wait = false }))
    assert.equal("busy", result.outcome)
    assert.is_truthy(result.detail:find("held by a", 1, true))
    assert.is_nil(stored(s).status.waiters)
  end)

  it("of a holder that is dead is had at once without waiting, where the store tells of deaths", function()
    local s = world()
    local a = line_up(s, "a")
    s:run_for(1000)
    a:crash()
    local b = s:start("b", candidate { wait = false, skew_ms = 0, work = { argv = { "fails" } } })
    assert.equal("ran", play.finish(s, b).outcome)
    play.judge(s)
  end)

  it("of a holder that vanished is had without waiting once it is old, after watching for its ttl", function()
    for _, skew_ms in ipairs { 0, 5000 } do
      local s = world { peers = false }
      local a = line_up(s, "a")
      a:crash()
      local from, tries, outcome = s:time_ms(), 0
      repeat
        s:run_for(500)
        local o = { wait = false, skew_ms = skew_ms, work = { argv = { "fails" } } }
        outcome, tries = play.finish(s, s:start("b" .. tries, candidate(o))).outcome, tries + 1
      until outcome ~= "busy" or tries == 100
      assert.equal("ran", outcome)
      local age_ms = s:time_ms() - from
      local old_ms = 15750 + ttl.GRAIN_MS + skew_ms -- since the last renewal
      assert.is_true(age_ms > old_ms - 5000 + 15750 and age_ms < old_ms + 2500 + 15750, "after " .. age_ms)
      play.judge(s)
    end
  end)

  it("is not had from a holder that lives, however wrong the clock of the server is that is asked", function()
    local s = world { peers = false }
    line_up(s, "a")
    for i = 1, 12 do
      s:run_for(1700)
      local try = candidate { wait = false, skew_ms = 5000, work = { argv = { "fails" } } }
      assert.equal("busy", play.finish(s, s:start("b" .. i, cast.reads_ahead(try, 3600000))).outcome)
    end
    assert.equal("a", running(s))
    play.judge_runs(s)
  end)

  it("is given up after the time of the wait, and the queue is left", function()
    local s = world()
    line_up(s, "a")
    local t = s:time_ms()
    local result = play.finish(s, s:start("b", candidate { timeout_ms = 7000 }))
    assert.equal("timeout", result.outcome)
    assert.equal(7000, s:time_ms() - t)
    assert.is_nil(stored(s).status.waiters)
    assert.equal("a", running(s))
    assert.equal(1, #play.events(s, "leave"))
  end)
end)

describe("a lease that is held", function()
  it("is renewed every third of its time, counted, without touching anything else", function()
    local s = world()
    line_up(s, "a")
    local before = stored(s).status
    s:run_for(60000)
    local after = stored(s).status
    assert.equal(12, after.renewals)
    assert.same({ before.holder, before.session, before.fence, before.acquired },
      { after.holder, after.session, after.fence, after.acquired })
    assert.is_not.equal(before.op, after.op)
    play.judge(s, { open = true })
  end)

  it("is neither longer nor shorter when others join and leave", function()
    local s = world()
    line_up(s, "a")
    local before = stored(s).status
    local b = s:start("b", candidate())
    s:run_until(function() return stored(s).status.waiters ~= nil end)
    local joined = stored(s).status
    assert.same({ before.op, before.fence, before.renewals, before.ttlMs, before.session },
      { joined.op, joined.fence, joined.renewals, joined.ttlMs, joined.session })
    b:stop()
    assert.equal("stopped", play.finish(s, b).outcome)
    assert.is_nil(stored(s).status.waiters)
    s:run_for(30000)
    assert.equal("a", running(s))
    play.judge(s, { open = true })
  end)

  it("is handed over in two writes, in order of arrival", function()
    local s = world { latency_ms = 1 }
    local a = line_up(s, "a")
    for _, name in ipairs { "b", "c", "d" } do
      s:start(name, candidate())
      s:run_for(500)
    end
    local writes = play.count_writes(s)
    local t = s:time_ms()
    a:stop()
    until_running(s, "b")
    assert.equal(2, writes.by.holder)
    assert.is_true(s:time_ms() - t < 120, "hand-over took " .. s:time_ms() - t) -- 100 ms of it: the child's end
    s:run_for(100)
    assert.equal(2, writes.n)
    play.judge(s, { open = true })
  end)

  it("goes to the higher priority first, and among equals to the first that came", function()
    local s = world()
    local a = line_up(s, "a")
    s:start("low", candidate { priority = 1, work = { argv = { "brief" } } })
    s:run_for(1000)
    s:start("high1", candidate { priority = 5, work = { argv = { "brief" } } })
    s:run_for(1000)
    s:start("high2", candidate { priority = 5, work = { argv = { "brief" } } })
    s:run_for(1000)
    a:stop()
    s:run_for(10000)
    assert.equal("a high1 high2 low", play.runners(s))
    play.judge(s)
  end)

  it("costs a hundred waiters two writes and one start when it is handed over", function()
    local s = world { latency_ms = 2 }
    local a = line_up(s, "a")
    local refused = 0
    for i = 1, 100 do
      s:start("w" .. i, candidate { spec = { ttl = "15s", queueMax = 32 } })
    end
    s:run_for(60000)
    assert.equal(32, #stored(s).status.waiters)
    local writes = play.count_writes(s)
    s.fault = function(op)
      refused = refused + (op.verb == "replace" and 1 or 0)
      return nil
    end
    a:stop()
    s:run_until(function() return running(s) ~= "a" and #s.runs == 2 end)
    assert.equal(2, writes.by.holder)
    assert.is_true(refused - writes.n <= 1, "conflicts: " .. refused - writes.n)
    play.judge(s, { open = true })
  end)

  it("is handed over among a hundred without quarrels about the places in its queue", function()
    local s = world { latency_ms = 20 } -- what a busy server takes: joins that are sent meanwhile collide
    local by_name, sent = {}, 0
    by_name.a = s:start("a", candidate())
    until_running(s, "a")
    for i = 1, 100 do
      by_name["w" .. i] = s:start("w" .. i, candidate { spec = { ttl = "15s", queueMax = 32 } })
    end
    s:run_for(60000)
    local writes = play.count_writes(s)
    s.fault = function(op)
      sent = sent + (op.verb == "replace" and 1 or 0)
      return nil
    end
    for _ = 1, 40 do
      local runs = #s.runs
      by_name[running(s)]:stop()
      s:run_until(function() return #s.runs > runs and running(s) ~= nil end)
      s:run_for(1500)
    end
    assert.is_true(sent - writes.n <= 4, "conflicts: " .. sent - writes.n)
    assert.is_true(#stored(s).status.waiters >= 8, "waiting: " .. #stored(s).status.waiters)
    play.judge(s, { open = true })
  end)

  it("is released only after the last descendant is gone, and renewed until then", function()
    local s = world()
    local a = s:start("a", candidate { work = { argv = { "forks" } } })
    s:start("b", candidate { work = { argv = { "brief" } } })
    play.finish(s, a)
    assert.equal(4000, s.runs[1].to_us / 1000)
    assert.is_true(play.events(s, "grant")[1].t_us >= s.runs[1].to_us)
    play.judge(s, { open = true })
  end)

  it("makes a daemon that outlives its work end before it is released", function()
    local s = world()
    local a = s:start("a", candidate { work = { argv = { "daemon" } }, stop_grace_ms = 30000 })
    local result = play.finish(s, a)
    assert.same({ "ran", 0 }, { result.outcome, result.code })
    assert.equal(31200, s.runs[1].to_us / 1000) -- exit at 1 s, the grace, 200 ms to end
    assert.equal("", stored(s).status.holder)
    play.judge(s)
  end)

  it("is left to expire when a descendant may still run", function()
    local s = world()
    local a = s:start("a", function(w)
      local spawn = w.spawn
      w.spawn = function(inbox, spec)
        local child = spawn(inbox, spec)
        child.unsure = true -- as when the guard itself was killed
        return child
      end
      return elect.run(w, { name = "x", ttl_ms = 15000, work = { argv = { "brief" } } })
    end)
    assert.equal("ran", play.finish(s, a).outcome)
    assert.equal("a", stored(s).status.holder)
  end)
end)

describe("the end of a holder", function()
  it("by SIGKILL is followed at once by the head of the queue", function()
    local s = world()
    local a = line_up(s, "a")
    s:start("b", candidate())
    s:start("c", candidate())
    s:run_for(2000)
    local t = s:time_ms()
    local first = stored(s).status.waiters[1].id
    a:crash()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal(first, running(s))
    assert.is_true(s:time_ms() - t < 5, "took " .. s:time_ms() - t)
    play.judge(s, { open = true })
  end)

  it("in a store that knows of no sessions is followed after its time and not before", function()
    local s = world { peers = false }
    local a = line_up(s, "a")
    s:start("b", candidate())
    s:run_for(12000) -- renewed at 5 s and 10 s
    a:crash()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("b", running(s))
    assert.equal(10000 + 15750, s:time_ms())
    play.judge(s, { open = true })
  end)

  it("and of those ahead in the queue costs each of them one stagger, once", function()
    local s = world { peers = false }
    local a, b, c = line_up(s, "a", "b", "c", "d")
    b:crash()
    c:crash()
    s:run_for(3000)
    a:crash() -- renewed at 5 s
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("d", running(s))
    assert.equal(5000 + 15750 + 800, s:time_ms())
    assert.is_nil(stored(s).status.waiters)
    play.judge(s, { open = true })
  end)

  it("whose successor is dead costs the time of one acceptance", function()
    local s = world { peers = false }
    local a, b = line_up(s, "a", "b", "c")
    b:crash()
    a:stop()
    s:run_until(function() return s.runs[1].to_us end)
    local t = s:time_ms()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("c", running(s))
    assert.equal(3150, s:time_ms() - t)
    play.judge(s, { open = true })
  end)

  it("between its claim and the start of its work is as any other", function()
    local crashed
    local s
    s = world { commands = { serve = function(_, replica)
      if replica == "a" then
        crashed = true
        s.first:crash()
      end
      return { run_ms = 3600000, start_ms = 1 }
    end } }
    s.first = s:start("a", candidate())
    s:run_until(function() return crashed end)
    s:run_for(10)
    line_up(s, "b")
    play.judge(s, { open = true })
  end)

  it("between the end of its work and its release is as any other", function()
    local s
    s = world { fault = function(op)
      if op.process == "a" and op.status and op.status.holder == "" then
        s.first:crash()
        return { lose = "request" }
      end
    end }
    s.first = s:start("a", candidate { work = { argv = { "brief" } } })
    s:run_until(function() return s.first.gone end)
    line_up(s, "b")
    play.judge(s, { open = true })
  end)

  it("that comes back under the same name gives it no right to the hold of before", function()
    local s = world { peers = false }
    local a = line_up(s, "a")
    a:crash()
    s:start("a", candidate())
    s:run_for(14000)
    assert.equal(1, #s.runs)
    s:run_until(function() return #s.runs == 2 end)
    assert.is_true(s:time_ms() >= 15750)
    play.judge(s, { open = true })
  end)
end)

describe("a holder that was asked to stop", function()
  it("ends its work, then hands over, and says that it was stopped", function()
    local s = world()
    local a = line_up(s, "a", "b")
    a:stop()
    local result = play.finish(s, a)
    assert.same({ "stopped", 143 }, { result.outcome, result.code })
    until_running(s, "b")
    play.judge(s, { open = true })
  end)

  it("kills work that ignores TERM after the grace, renewing until it is dead", function()
    local s = world()
    local a = s:start("a", candidate { work = { argv = { "stubborn" } }, stop_grace_ms = 40000 })
    until_running(s, "a")
    a:stop()
    local result = play.finish(s, a)
    assert.same({ "stopped", 137 }, { result.outcome, result.code })
    assert.equal(40000, s.runs[1].to_us / 1000)
    assert.equal("", stored(s).status.holder)
    play.judge(s)
  end)

  it("kills at once when it is asked a second time", function()
    local s = world()
    local a = s:start("a", candidate { work = { argv = { "stubborn" } }, stop_grace_ms = 40000 })
    until_running(s, "a")
    a:stop()
    s:run_for(1000)
    a:stop()
    play.finish(s, a)
    assert.equal(1000, s:time_ms())
    play.judge(s)
  end)

  it("before it held anything leaves nothing behind", function()
    local s = world()
    local a = s:boot "a"
    a:stop()
    a.main = s:task(a, nil, candidate(), a.world)
    assert.equal("stopped", play.finish(s, a).outcome)
    assert.equal(0, #s.runs)
  end)

  it("in the moment of a hand-over to it leaves no grant that nobody accepts", function()
    for lead_ms = 0, 60 do
      local s = world { latency_ms = 20 }
      local a, b = line_up(s, "a", "b")
      a:stop()
      s:run_for(100 + lead_ms) -- its work needs a hundred to end, then the hand-over is on its way
      b:stop()
      play.finish(s, a, b)
      assert.equal("", stored(s).status.holder, ("stopped %d ms after the end of the work"):format(lead_ms))
      play.judge(s)
    end
  end)

  it("passes on a grant that it had no time to accept", function()
    local s
    s = world { fault = function(op)
      if op.process == "b" and op.status and op.status.accepted then
        return { code = "busy" } -- b never gets to accept
      end
    end }
    local a, b = line_up(s, "a", "b", "c")
    a:stop()
    s:run_until(function() return stored(s).status.holder == "b" end)
    b:stop()
    until_running(s, "c", 6000)
    play.judge(s, { open = true })
  end)
end)

describe("a renewal that does not come through", function()
  it("kills the work before anyone may take over", function()
    local s = world { peers = false }
    local a = s:start("a", candidate { again = true })
    until_running(s, "a")
    s:start("b", candidate())
    s:run_for(6000) -- renewed at 5 s
    a:partition "both"
    s:run_until(function() return s.runs[1].to_us end)
    assert.equal(5000 + 14250 - 3000 + 100, s.runs[1].to_us / 1000) -- TERM at the grace before the kill
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("b", running(s))
    a:partition(nil)
    s:run_for(60000)
    assert.equal("b", running(s))
    assert.equal("a", stored(s).status.waiters[1].id)
    play.judge(s, { open = true })
  end)

  it("kills work that ignores TERM at the deadline", function()
    local s = world { peers = false }
    local a = s:start("a", candidate { work = { argv = { "stubborn" } } })
    until_running(s, "a")
    a:partition "both"
    play.finish(s, a)
    assert.same({ 14250, "deadman" }, { s.runs[1].to_us / 1000, s.runs[1].by })
    assert.equal("lost", a.value.outcome)
  end)

  it("because only its answers are lost kills it all the same", function()
    local s = world { peers = false }
    local a = line_up(s, "a", "b")
    a:partition "answers"
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("b", running(s))
    assert.is_true(s.runs[1].to_us / 1000 <= 14250)
    play.judge(s, { open = true })
  end)

  it("for less than its time does not touch the work", function()
    local s = world { peers = false }
    local a = line_up(s, "a")
    s:start("b", candidate())
    s:run_for(4000)
    a:partition "both"
    s:run_for(6000)
    a:partition(nil)
    s:run_for(60000)
    assert.equal("a", running(s))
    assert.equal(1, #s.runs)
    play.judge(s, { open = true })
  end)

  for name, fault in pairs {
    ["the answer is lost"] = { lose = "answer" },
    ["the request is lost"] = { lose = "request" },
    ["the request lands late"] = { late_ms = 2000 },
    ["the request is delivered twice"] = { twice = true },
    ["the store is busy"] = { code = "busy" },
    ["the answer takes two seconds"] = { back_ms = 2000 },
  } do
    it("at first, because " .. name .. ", is tried again", function()
      local n = 0
      local s = world { peers = false, fault = function(op)
        if op.process == "a" and op.verb == "replace" then
          n = n + 1
          return n % 2 == 0 and fault or nil
        end
      end }
      line_up(s, "a")
      s:start("b", candidate())
      s:run_for(120000)
      assert.equal("a", running(s))
      assert.equal(1, #s.runs)
      assert.is_true(stored(s).status.renewals >= 15)
      play.judge(s, { open = true })
    end)
  end

  it("because a right was taken away runs to the deadline, and says which", function()
    local said = {}
    local s = world { peers = false, on_log = function(_, level, text) said[#said + 1] = level .. " " .. text end }
    line_up(s, "a")
    s.fault = function(op)
      return op.verb == "replace" and { code = "denied", detail = "needs update on leases" } or nil
    end
    s:run_until(function() return s.runs[1].to_us end)
    assert.equal(14250 - 3000 + 100, s.runs[1].to_us / 1000)
    assert.is_truthy(table.concat(said, "\n"):find("error x: cannot renew: needs update on leases", 1, true))
  end)

  it("is told with the time that is left, once", function()
    local said = {}
    local s = world { peers = false, on_log = function(_, level, text) said[#said + 1] = level .. " " .. text end }
    local a = line_up(s, "a")
    a:partition "both"
    s:run_until(function() return s.runs[1].to_us end)
    local told = {}
    for _, line in ipairs(said) do
      told[#told + 1] = line:match "^warn x: cannot renew: no answer; the work is killed in .*$"
    end
    assert.equal(1, #told)
    local left = tonumber(told[1]:match "killed in ([%d.]+) s")
    assert.is_true(left > 2 and left < 9, told[1])
  end)

  it("is told to probes: holding only while the work runs", function()
    local s = world()
    local states = {}
    local a = s:start("a", candidate { on_state = function(state) states[#states + 1] = state end })
    until_running(s, "a")
    local b_states = {}
    local b = s:start("b", candidate { on_state = function(state) b_states[#b_states + 1] = state end })
    s:run_for(1000)
    a:stop()
    play.finish(s, a)
    until_running(s, "b")
    b:stop()
    play.finish(s, b)
    assert.equal("holding free", table.concat(states, " "))
    assert.is_truthy(table.concat(b_states, " "):find("^waiting .*holding free$"))
  end)
end)

describe("a write of a candidate", function()
  for name, fault in pairs {
    ["whose answer is lost"] = { lose = "answer" },
    ["that lands late"] = { late_ms = 3000 },
    ["that is delivered twice"] = { twice = true },
    ["that is lost"] = { lose = "request" },
  } do
    it(name .. " never makes two holders", function()
      for nth = 1, 6 do
        for _, verb in ipairs { "replace", "create", "get" } do
          local s = world { latency_ms = 2, peers = false, fault = cast.fault_of(verb, nth, fault) }
          local processes = {}
          for i = 1, 3 do
            processes[i] = s:start("r" .. i, candidate { work = { argv = { "brief" } } })
          end
          play.finish(s, unpack(processes))
          assert.equal(3, #s.runs)
          play.judge(s)
        end
      end
    end)
  end

  it("ends the candidacy with the store's word when it may never succeed", function()
    local s = world { fault = function(op)
      return op.verb == "create" and { code = "denied", detail = "needs create on leases" } or nil
    end }
    local result = play.finish(s, s:start("a", candidate()))
    assert.same({ "error", "denied", "needs create on leases" }, { result.outcome, result.code, result.detail })
  end)

  it("ends the candidacy when the store does not answer for a minute", function()
    local s = world()
    local a = s:boot "a"
    a:partition "both"
    a.main = s:task(a, nil, candidate(), a.world)
    local result = play.finish(s, a)
    assert.same({ "error", "store" }, { result.outcome, result.code })
    assert.is_true(s:time_ms() >= 60000 and s:time_ms() < 70000, s:time_ms())
  end)
end)

describe("clocks", function()
  it("that run three per cent apart make no overlap", function()
    for _, ppm in ipairs { { 30000, -30000 }, { -30000, 30000 } } do
      local s = world {
        peers = false,
        clocks = { a = { ppm = ppm[1], offset_ms = 5000 }, b = { ppm = ppm[2], offset_ms = 900000 } },
      }
      local a = s:start("a", candidate { work = { argv = { "stubborn" } } })
      until_running(s, "a")
      s:start("b", candidate { work = { argv = { "stubborn" } } })
      s:run_for(1000)
      a:partition "both"
      s:run_until(function() return #s.runs == 2 end)
      assert.equal("b", running(s))
      play.judge(s, { open = true })
    end
  end)

  it("on the wall may be wrong by an hour without any effect", function()
    local function history(wall_ms)
      local s = world { peers = false, clocks = { a = { wall_ms = wall_ms }, b = { wall_ms = -wall_ms } } }
      local a = s:start("a", candidate())
      s:start("b", candidate())
      s:run_for(20000)
      a:crash()
      s:run_for(60000)
      local times = {}
      for i, event in ipairs(s.history) do
        times[i] = event.t_us .. event.event
      end
      return table.concat(times, " ")
    end
    assert.equal(history(0), history(3600000))
  end)
end)

describe("a holder that is frozen", function()
  it("whole, longer than its time, acts no more than an instant after the thaw", function()
    local s = world { peers = false }
    local a = line_up(s, "a", "b")
    a:freeze "all"
    s:run_until(function() return #s.runs == 2 end)
    s:run_for(5000)
    local t = s.t_us
    a:thaw()
    s:run_for(10)
    assert.equal(t, s.runs[1].to_us)
    assert.equal("b", running(s))
    assert.is_true(tonumber(s.runs[2].env.KONDUCTOR_TOKEN) > tonumber(s.runs[1].env.KONDUCTOR_TOKEN))
  end)

  it("above its guard only, has its work killed in time", function()
    local s = world { peers = false }
    local a = line_up(s, "a", "b")
    a:freeze "supervisor"
    s:run_until(function() return #s.runs == 2 end)
    assert.is_true(s.runs[1].to_us / 1000 <= 14250)
    a:thaw()
    local result = play.finish(s, a)
    assert.equal("lost", result.outcome)
    assert.equal("b", running(s))
    play.judge_runs(s)
  end)
end)

describe("watches", function()
  it("that say nothing delay nobody beyond the timers", function()
    local s = world { peers = false, watch_fault = function() return { lose = true } end }
    local a = s:start("a", candidate { work = { argv = { "brief" } } })
    until_running(s, "a")
    local b = s:start("b", candidate { work = { argv = { "brief" } } })
    play.finish(s, a, b)
    assert.is_true(s:time_ms() <= 15750 + 2500)
    play.judge(s)
  end)

  it("that miss a grant cost the time of one acceptance, and the next takes over", function()
    local s = world { peers = false }
    local a = line_up(s, "a")
    s:start("b", candidate { work = { argv = { "brief" } } })
    s:run_for(1000)
    s:start("c", candidate { work = { argv = { "brief" } } })
    s:run_for(1000)
    s.watch_fault = function(replica) return replica == "b" and { lose = true } or nil end
    a:stop()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal("c", running(s))
    s.watch_fault = nil
    s:run_for(40000)
    assert.equal("a c b", play.runners(s))
    play.judge(s)
  end)

  it("that are late do not make a killed hold look alive", function()
    local s = world { peers = false, watch_sends_record = true, watch_fault = function(_, change)
      return { delay_ms = change.rev % 3 * 4000 }
    end }
    local processes = {}
    for i = 1, 4 do
      processes[i] = s:start("r" .. i, candidate { work = { argv = { "brief" } } })
    end
    play.finish(s, unpack(processes))
    assert.equal(4, #s.runs)
    play.judge(s)
  end)
end)

describe("other hands on the record", function()
  it("that touch it every second neither stop the holder nor keep others from taking over", function()
    local s = world { peers = false }
    local a = line_up(s, "a", "b")
    local function touch()
      local record = stored(s)
      record.status.note = tostring(s:time_ms())
      assert(s.store:replace(record, record.status))
      s:after(1000000, nil, touch)
    end
    touch()
    s:run_for(60000)
    assert.equal("a", running(s))
    assert.equal(1, #s.runs)
    a:crash()
    until_running(s, "b", 16000 + 5000)
    play.judge(s, { open = true })
  end)

  it("that clear the holder kill its work at once; the fence grows on", function()
    local s = world()
    local a = line_up(s, "a")
    local record = stored(s)
    local fence = record.status.fence
    record.status.holder = ""
    assert(s.store:replace(record, record.status))
    local result = play.finish(s, a)
    assert.same({ "lost", "taken" }, { result.outcome, result.work.lost })
    assert.equal(0, s.runs[1].to_us)
    line_up(s, "b")
    assert.is_true(stored(s).status.fence > fence)
    assert.equal(0, #play.events(s, "release"))
  end)

  it("that delete it kill the work, and the next fence is above the last", function()
    local s = world()
    local a = s:start("a", candidate { again = true })
    until_running(s, "a")
    local record = stored(s)
    assert(s.store:delete(record))
    s:run_until(function() return #s.runs == 2 end)
    assert.is_true(stored(s).status.fence > record.status.fence)
    assert.is_false(stored(s).uid == record.uid)
    a:stop()
    play.finish(s, a)
    play.judge(s)
  end)

  it("that write nonsense are an error with a sentence, and nothing is overwritten", function()
    local s = world()
    local record = s.store:create("Lease", "x", {})
    s.store:replace(record, { holder = 7 })
    local result = play.finish(s, s:start("a", candidate()))
    assert.same({ "error", "corrupt" }, { result.outcome, result.code })
    assert.is_truthy(result.detail:find("status.holder", 1, true))
    assert.equal(7, stored(s).status.holder)
  end)
end)

describe("a rolling update", function()
  it("to another ttl goes by the time of the record, not by one's own", function()
    local s = world { peers = false }
    local a = s:start("a", candidate { ttl_ms = 30000 })
    until_running(s, "a")
    s:start("b", candidate { ttl_ms = 3000 })
    s:run_for(1000)
    a:crash()
    s:run_until(function() return #s.runs == 2 end)
    assert.equal(31500, s:time_ms())
    play.judge(s, { open = true })
  end)
end)

describe("a release that meets", function()
  it("a renewal on its way leaves nothing for a whole ttl", function()
    local s
    s = world { peers = false, latency_ms = 300 }
    local a = line_up(s, "a")
    s:start("b", candidate())
    s:run_until(function() return #play.events(s, "renew") == 1 end)
    s:run_until(function() return s:time_ms() % 5000 >= 4900 end)
    a:stop() -- the next renewal leaves while the child ends
    local t = s:time_ms()
    until_running(s, "b")
    assert.is_true(s:time_ms() - t < 4000, "took " .. s:time_ms() - t)
    play.judge(s, { open = true })
  end)

  it("a lost answer is known for what it is", function()
    local s = world { fault = function(op)
      return op.status and op.status.holder == "" and { lose = "answer" } or nil
    end }
    local result = play.finish(s, s:start("a", candidate { work = { argv = { "brief" } } }))
    assert.equal("ran", result.outcome)
    assert.equal(1, #play.events(s, "release"))
    play.judge(s)
  end)

  it("a store that does not answer is left to expiry", function()
    local s = world { peers = false }
    local a = s:start("a", candidate { work = { argv = { "brief" } } })
    until_running(s, "a")
    a:partition "both"
    local result = play.finish(s, a)
    assert.same({ "ran", 0 }, { result.outcome, result.code })
    assert.is_true(s:time_ms() <= 15000 + 2 * s.timeout_ms)
    line_up(s, "b")
    play.judge(s, { open = true })
  end)
end)

describe("a lease that must not be renewed", function()
  it("ends its work at the end of its time, with 124, and frees itself", function()
    local s = world()
    local result = play.finish(s, s:start("a", candidate { spec = { ttl = "15s", renewable = false } }))
    assert.same({ "ran", 124 }, { result.outcome, result.code })
    assert.equal(0, #play.events(s, "renew"))
    assert.is_true(s.runs[1].to_us / 1000 <= 14250)
    assert.equal("", stored(s).status.holder)
    play.judge(s)
  end)
end)

describe("the time of a wait", function()
  it("does not count for a leader that stands by again", function()
    local s = world { peers = false }
    local a = s:start("a", candidate { again = true, timeout_ms = 5000 })
    until_running(s, "a")
    s:run_for(7000)
    s:start("b", candidate())
    s:run_for(1000)
    a:partition "both"
    until_running(s, "b")
    a:partition(nil)
    s:run_for(60000)
    assert.is_false(a.done)
  end)
end)

describe("preemption", function()
  it("makes a lower priority end its work and hand over, and stand by again", function()
    local s = world()
    local low = s:start("low", candidate { priority = 1, again = true, spec = { ttl = "15s", preempt = true } })
    until_running(s, "low")
    local high = s:start("high", candidate { priority = 5, work = { argv = { "brief" } } })
    until_running(s, "high", 1000)
    play.finish(s, high)
    until_running(s, "low", 1000)
    assert.equal("low high low", play.runners(s))
    low:stop()
    play.finish(s, low)
    play.judge(s)
  end)

  it("is not asked of an equal or where nobody allowed it", function()
    local s = world()
    s:start("low", candidate { priority = 1 })
    until_running(s, "low")
    s:start("high", candidate { priority = 5 })
    s:run_for(20000)
    assert.equal("low", running(s))
    local t = world()
    t:start("low", candidate { priority = 5, spec = { ttl = "15s", preempt = true } })
    until_running(t, "low")
    t:start("high", candidate { priority = 5 })
    t:run_for(20000)
    assert.equal("low", running(t))
  end)
end)

describe("one process", function()
  it("that asks for what it holds is told so, and keeps it", function()
    local s = world()
    local second
    local a = s:start("a", candidate { work = function(hold)
      second = elect.run(hold.w, { name = "x", ttl_ms = 15000, work = { argv = { "brief" } } })
      hold.w.sleep(30000)
    end })
    assert.equal("ran", play.finish(s, a).outcome)
    assert.same({ "error", "usage" }, { second.outcome, second.code })
    play.judge(s)
  end)

  it("may hold it again and again, each time under a higher number", function()
    local s = world()
    local a = s:start("a", function(w)
      local tokens = {}
      for i = 1, 3 do
        tokens[i] = elect.run(w, { name = "x", ttl_ms = 15000, work = { argv = { "brief" } } }).token
      end
      return tokens
    end)
    local tokens = play.finish(s, a)
    assert.is_true(tokens[1] < tokens[2] and tokens[2] < tokens[3])
    play.judge(s)
  end)
end)

describe("a run's own time limit", function()
  it("stops the work, keeps the hold until it has ended, and gives 124", function()
    local s = world()
    local result = play.finish(s, s:start("a", candidate { run_timeout_ms = 30000 }))
    assert.same({ "ran", 124 }, { result.outcome, result.code })
    assert.equal(30100, s.runs[1].to_us / 1000)
    assert.equal("", stored(s).status.holder)
    play.judge(s)
  end)
end)

describe("the same seed", function()
  it("gives the same history", function()
    local function once_more(seed)
      local n = 0
      local s = world { seed = seed, latency_ms = 3, peers = false, fault = function()
        n = n + 1
        return n % 7 == 0 and { lose = "answer" } or n % 11 == 0 and { late_ms = 500 } or nil
      end }
      for i = 1, 5 do
        s:start("r" .. i, candidate { again = true })
      end
      s:run_for(100000)
      local lines = {}
      for i, event in ipairs(s.history) do
        lines[i] = ("%d %s %s %s"):format(event.t_us, event.event, event.session, tostring(event.fence))
      end
      return table.concat(lines, "\n")
    end
    assert.equal(once_more(7), once_more(7))
    assert.is_false(once_more(7) == once_more(8))
  end)
end)
