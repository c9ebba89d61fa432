package.path = "tests/lua/?.lua;" .. package.path
local cas = require "konductor.cas"
local cast = require "lib.cast"
local elect = require "konductor.elect"
local lease = require "konductor.lease"
local oneshot = require "konductor.oneshot"
local play = require "lib.play"
local random = require "konductor.sim.random"
local ttl = require "konductor.ttl"

local COMMANDS = { serve = { run_ms = 3600000, term_ms = 100 } }
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Lease"
local leader = cast.replica_of(elect.run, function()
  return { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "serve" } }, stop_grace_ms = 1000 }
end)

local function options(more)
  local o = { name = "x", default_ttl_ms = 600000, spec = { ttl = "10m" }, wait = false, skew_ms = ttl.SKEW_MS }
  for key, value in pairs(more or {}) do
    o[key] = value
  end
  return o
end

-- A shell that takes the Lease, or does not, and ends.
local function shell(more, use)
  return function(w)
    return oneshot.acquire(w, options(more), use or function() return true end)
  end
end

local function claimer(more, use)
  return function(w)
    return oneshot.claim(w, options(more), use or function() return true end)
  end
end

local function once(s)
  return s.store:get("Once", "x")
end

describe("a grant that outlives its process", function()
  it("is bound to time, and costs one write", function()
    local s = world()
    local writes = play.count_writes(s)
    local result = play.finish(s, s:start("a", shell { ttl_ms = 5000 }))
    local status = stored(s).status
    assert.same({ "granted", status.fence, 5000 }, { result.outcome, result.fence, result.ttl_ms })
    assert.same({ "a", "time", "", 5000 }, { status.holder, status.bound, status.session, status.ttlMs })
    assert.equal(1, writes.n)
  end)

  it("lasts as the Lease says when nothing else is asked for", function()
    local s = world()
    s.store:create("Lease", "x", { ttl = "42s" })
    assert.equal(42000, play.finish(s, s:start("a", shell())).ttl_ms)
  end)

  it("is not taken by another of the same name", function()
    local s = world()
    play.finish(s, s:start("a", shell()))
    assert.equal("busy", play.finish(s, s:start("a", shell())).outcome)
  end)

  it("is not taken at first sight before 105 % of its time, the grain and the skew of clocks have passed", function()
    local s = world()
    play.finish(s, s:start("a", shell { ttl_ms = 10000 }))
    local from = s:time_ms()
    local result
    repeat
      s:run_for(1000)
      result = play.finish(s, s:start("b", shell()))
    until result.outcome == "granted" or s:time_ms() > from + 60000
    assert.equal("granted", result.outcome)
    assert.is_true(s:time_ms() - from > 10500 + ttl.GRAIN_MS + ttl.SKEW_MS)
    assert.is_true(s:time_ms() - from < 22000)
  end)

  it("is not taken at first sight when the store cannot tell its age", function()
    local s = world()
    play.finish(s, s:start("a", shell { ttl_ms = 10000 }))
    s:run_for(100000)
    local get = s.store.get
    s.store.get = function(...)
      local record, code, detail = get(...)
      if record then
        record.age_ms = nil
      end
      return record, code, detail
    end
    assert.equal("busy", play.finish(s, s:start("b", shell())).outcome)
  end)

  it("is taken over by one who waits after 105 % of its time and not before", function()
    local s = world()
    play.finish(s, s:start("a", shell { ttl_ms = 10000 }))
    local from = s:time_ms()
    local result = play.finish(s, s:start("b", shell { wait = true }))
    assert.equal("granted", result.outcome)
    assert.is_true(s:time_ms() - from >= 10500)
    assert.is_true(s:time_ms() - from < 12000)
  end)

  it("is given back when nobody learns of it", function()
    local s = world()
    local result = play.finish(s, s:start("a", shell(nil, function() return false end)))
    assert.equal("granted", result.outcome)
    assert.equal("", stored(s).status.holder)
  end)

  it("that was answered after its time is none", function()
    local s = world { fault = function(op) return op.verb == "replace" and op.n < 4 and { back_ms = 2900 } or nil end }
    local result = play.finish(s, s:start("a", shell { ttl_ms = 3000 }))
    assert.same({ "error", "store" }, { result.outcome, result.code })
    assert.equal("", stored(s).status.holder)
  end)

  it("of a dead leader goes to the next one at once where the store knows of deaths", function()
    local s = world()
    local a = s:start("a", leader())
    cast.until_running(s, "a")
    assert.equal("busy", play.finish(s, s:start("b", shell())).outcome)
    a:crash()
    s:run_for(500)
    assert.equal("granted", play.finish(s, s:start("b", shell())).outcome)
    play.judge_runs(s)
  end)

  it("waits its turn behind those who queue for a free Lease", function()
    local s = world()
    local head = s:boot "head"
    local record = s.store:create("Lease", "x", { ttl = "15s" })
    s.store:replace(record, { fence = 4, waiters = { { id = "head", session = head.session, prio = 0 } } })
    local from = s:time_ms()
    assert.equal("granted", play.finish(s, s:start("a", shell())).outcome)
    assert.is_true(s:time_ms() - from >= ttl.STAGGER_MS)
    assert.is_nil(stored(s).status.waiters)
  end)

  it("leaves the queue when its time to wait is over", function()
    local s = world()
    play.finish(s, s:start("a", shell()))
    local result = play.finish(s, s:start("b", shell { wait = true, timeout_ms = 5000 }))
    assert.equal("timeout", result.outcome)
    assert.is_nil(stored(s).status.waiters)
  end)
end)

describe("a grant whose answer is lost", function()
  local function silent_after_the_write(for_ms)
    local from
    return function(op)
      if op.verb == "replace" and not from then
        from = op.t_ms
        return { lose = "answer" }
      elseif from and op.t_ms < from + for_ms then
        return { lose = "request" }
      end
    end
  end

  for _, kind in ipairs { "Lease", "Once" } do
    it("is known by its mark, however long nothing was heard of it: " .. kind, function()
      for _, for_ms in ipairs { 0, 4000, 30000 } do
        local s = world { fault = silent_after_the_write(for_ms) }
        local writes = play.count_writes(s)
        local result
        if kind == "Lease" then
          result = play.finish(s, s:start("a", shell { wait = true }))
          assert.equal(stored(s).status.fence, result.fence)
        else
          result = play.finish(s, s:start("a", claimer { wait = true }))
          assert.equal(once(s).status.fence, result.fence)
          assert.equal(1, once(s).status.attempts)
        end
        assert.same({ "granted", 1 }, { result.outcome, writes.n }, ("%d ms"):format(for_ms))
        assert.is_true(result.base < 1000)
      end
    end)
  end

  it("may or may not be granted when nothing is heard for as long as it waits", function()
    local s = world { fault = silent_after_the_write(1e9) }
    local result = play.finish(s, s:start("a", shell()))
    assert.same({ "error", "unknown" }, { result.outcome, result.code })
    assert.equal("a", stored(s).status.holder)
  end)

  it("is not known by holder and fence, which another of the same name writes too", function()
    local s = world { latency_ms = 5 }
    s.store:create("Lease", "x", { ttl = "10m" })
    local lost = 0
    s.fault = function(op)
      if op.verb == "replace" then
        lost = lost + 1
        return { to_ms = lost == 1 and 10 or 1, lose = lost == 1 and "answer" or nil }
      end
    end
    local slow, quick = s:start("a", shell()), s:start("a", shell())
    local first, second = play.finish(s, slow, quick)
    assert.same({ "busy", "granted" }, { first.outcome, second.outcome })
  end)
end)

describe("a claim that outlives its process", function()
  it("of what is done is none, and names who did it", function()
    local s = world()
    local record = s.store:create("Once", "x", {})
    s.store:replace(record, { executed = true, phase = "Executed", executor = "b", version = "", fence = 3 })
    local result = play.finish(s, s:start("a", claimer()))
    assert.same({ "done", "b" }, { result.outcome, result.executor })
  end)

  it("of at-most-once work whose executor's time is over is in doubt", function()
    local s = world()
    s.store:create("Once", "x", { mode = "AtMostOnce" })
    play.finish(s, s:start("a", claimer { ttl_ms = 5000 }))
    s:run_for(60000)
    assert.equal("doubt", play.finish(s, s:start("b", claimer())).outcome)
    assert.equal("a", once(s).status.executor)
  end)
end)

-- By chance ------------------------------------------------------------------------------

-- A shell that works under its grant for a while, within its time, and then releases it or forgets to.
local function worker(s, chance, acts)
  return function(w)
    local wait = chance:below(2) == 1
    local act
    local asked = options { ttl_ms = 3000 + chance:below(4000), wait = wait, timeout_ms = wait and 20000 or nil }
    local result = oneshot.acquire(w, asked, function()
      act = { from_us = s.t_us, who = w.holder }
      acts[#acts + 1] = act
      return true
    end)
    if result.outcome ~= "granted" then
      return
    end
    local me = { holder = w.holder, session = w.session, bound = "time", fence = result.fence, ttl_ms = result.ttl_ms }
    local record, base, stop_at = result.record, result.base, w.now() + chance:below(12000)
    while w.now() < stop_at do
      local renew_at = ttl.renew_at(base, me.ttl_ms)
      w.sleep(math.max(0, math.min(stop_at, renew_at, ttl.kill_at(base, me.ttl_ms)) - w.now()))
      if w.now() >= ttl.kill_at(base, me.ttl_ms) then
        break
      elseif w.now() >= renew_at then
        me.op, me.wall = w.nonce(), w.wall()
        local status = lease.renew(record, me)
        if not status then
          break
        end
        local limits = { give_up_at = ttl.kill_at(base, me.ttl_ms), limit_ms = 500 }
        local outcome, value, sent = cas.replace(w, record, status, limits)
        if outcome == "ok" then
          record, base = value, sent
        elseif outcome ~= "lost" or not lease.held(value, me) then
          break
        else
          record = value
        end
      end
    end
    act.to_us = s.t_us
    me.op, me.wall = w.nonce(), w.wall()
    local status = chance:below(2) == 1 and lease.release(record, me)
    if status then
      cas.replace(w, record, status, { give_up_at = w.now() + 2000 })
    end
  end
end

-- No two of all that acted, shells and leaders, did so at the same time.
local function check(acts, runs)
  local all = {}
  for _, act in ipairs(acts) do
    all[#all + 1] = { from_us = act.from_us, to_us = act.to_us or math.huge, who = act.who }
  end
  for _, run in ipairs(runs) do
    all[#all + 1] = { from_us = run.from_us, to_us = run.to_us or math.huge, who = run.replica }
  end
  table.sort(all, function(a, b) return a.from_us < b.from_us end)
  for i = 2, #all do
    if all[i].from_us < all[i - 1].to_us then
      error(("%s acts from %d us, %s until %s us"):format(all[i].who, all[i].from_us, all[i - 1].who, all[i - 1].to_us))
    end
    all[i].to_us = math.max(all[i].to_us, all[i - 1].to_us)
  end
end

describe("by chance", function()
  it("no shell acts beside another or beside a leader, whatever is lost and however clocks run", function()
    local shells, leaders = 0, 0
    for seed = 1, 40 do
      local chance, clocks, acts = random.new(seed), {}, {}
      for _, name in ipairs { "a", "b", "c", "r1", "r2" } do
        clocks[name] = {
          offset_ms = chance:below(1000000), ppm = chance:below(60001) - 30000, wall_ms = chance:below(7200000),
        }
      end
      local losses = chance:below(80)
      local s = world { seed = seed, clocks = clocks, peers = chance:below(2) == 1, timeout_ms = 1500 }
      s.fault = function(op)
        local dice = chance:below(1000)
        return dice < losses and { lose = dice % 2 == 0 and "answer" or "request" }
          or op.verb == "replace" and dice < losses + 20 and { late_ms = chance:below(8000) }
          or { to_ms = chance:below(30), back_ms = chance:below(30) }
      end
      play.guard_fences(s)
      for _, name in ipairs { "r1", "r2" } do
        local process
        local function keep()
          if chance:below(3) == 0 then
            process:crash()
          end
          if process.done or process.crashed then
            process = s:start(name, leader { ttl_ms = 5000, run_timeout_ms = 4000 })
          end
          s:after((2000 + chance:below(15000)) * 1000, nil, keep)
        end
        s:after(chance:below(30000) * 1000, nil, function()
          process = s:start(name, leader { ttl_ms = 5000, run_timeout_ms = 4000 })
          keep()
        end)
      end
      for _, name in ipairs { "a", "a", "b", "c" } do
        local function again()
          s:start(name, worker(s, chance, acts))
          s:after((1000 + chance:below(20000)) * 1000, nil, again)
        end
        s:after(chance:below(9000) * 1000, nil, again)
      end
      s:run_for(180000)
      local ok, broken = pcall(check, acts, s.runs)
      assert(ok, ("seed %d: %s"):format(seed, tostring(broken)))
      shells, leaders = shells + #acts, leaders + #s.runs
    end
    local happened = ("too little happened: %d shells, %d leaders"):format(shells, leaders)
    assert.is_true(shells > 300 and leaders > 100, happened)
  end)
end)
