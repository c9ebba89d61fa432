local cas = require "konductor.cas"
local sim = require "konductor.sim.world"

--- Runs fn(w, record, s) as replica "a" on a fresh record of kind Lease with status op "start";
--- `faults` is a list of faults for the calls after that, by verb: { replace = {...}, get = {...} }.
local function with_record(faults, fn)
  local calls = {}
  local armed = false
  local s
  s = sim.new {
    fault = function(op)
      if not armed or op.process ~= "a" then
        return nil
      end
      calls[#calls + 1] = op.verb
      local list = faults[op.verb]
      local fault = list and table.remove(list, 1)
      if type(fault) == "function" then
        return fault(s)
      end
      return fault
    end,
  }
  local result
  local process = s:start("a", function(w)
    local record = assert(w.replace(assert(w.create("Lease", "x", {})), { op = "start" }))
    armed = true
    result = { fn(w, record, s) }
  end)
  assert.is_true(s:run_until(function() return process.done end))
  assert(process.ok, process.value)
  return result, calls, s
end

local function stored(s)
  return s.store:get("Lease", "x")
end

local function foreign(s, status)
  assert(s.store:replace(assert(stored(s)), status))
end

describe("cas.replace", function()
  it("says ok with the new record and the time of sending", function()
    local r, calls = with_record({ replace = { { to_ms = 30, back_ms = 40 } } }, function(w, record)
      local before = w.now()
      local outcome, new, t0 = cas.replace(w, record, { op = "n1" })
      return outcome, new.status.op, t0 - before, w.now() - before
    end)
    assert.same({ "ok", "n1", 0, 70 }, r)
    assert.same({ "replace" }, calls)
  end)

  it("finds its own write by op when the answer was lost, with the time of the first sending", function()
    local r, calls = with_record({ replace = { { lose = "answer" } } }, function(w, record)
      local before = w.now()
      local outcome, new, t0 = cas.replace(w, record, { op = "n1" })
      return outcome, new.rev - record.rev, t0 - before
    end)
    assert.same({ "ok", 1, 0 }, r)
    assert.same({ "replace", "get" }, calls)
  end)

  it("ends at once when the wait for the answer was cancelled, with the write left open", function()
    local r, calls = with_record({ replace = { { code = "unknown", detail = "cancelled" } } }, function(w, record)
      return cas.replace(w, record, { op = "n1" })
    end)
    assert.same({ "unknown", "cancelled" }, r)
    assert.same({ "replace" }, calls)
  end)

  it("waits for each answer, of reads too, as long as it is told", function()
    local r = with_record({ replace = { { lose = "request" } }, get = { { lose = "answer" } } }, function(w, record)
      local before = w.now()
      local outcome = cas.replace(w, record, { op = "n1" }, { limit_ms = 70 })
      return outcome, w.now() - before
    end)
    assert.equal("ok", r[1])
    assert.is_true(r[2] >= 140 and r[2] < 140 + 400, r[2]) -- two waits, two backoffs
  end)

  it("repeats the same write when the request was lost and nothing moved", function()
    local r, calls, s = with_record({ replace = { { lose = "request" } } }, function(w, record)
      local before = w.now()
      local outcome, new, t0 = cas.replace(w, record, { op = "n1" })
      return outcome, new.status.op, t0 - before
    end)
    assert.same({ "ok", "n1", 0 }, r)
    assert.same({ "replace", "get", "replace" }, calls)
    assert.equal("n1", stored(s).status.op)
  end)

  it("lets at most one of a late write and its repetition land", function()
    local r, _, s = with_record({ replace = { { late_ms = 40 } } }, function(w, record)
      local outcome, new = cas.replace(w, record, { op = "n1" })
      w.sleep(1000)
      return outcome, new.rev - record.rev
    end)
    assert.same({ "ok", 1 }, r)
    assert.equal(4, stored(s).rev)
  end)

  it("takes a conflict that its own delivered-twice request caused for ok", function()
    local r = with_record({ replace = { { twice = true } } }, function(w, record)
      local outcome, new = cas.replace(w, record, { op = "n1" })
      return outcome, new.status.op
    end)
    assert.same({ "ok", "n1" }, r)
  end)

  it("says lost with the record as it is when another has written", function()
    local r, _, s = with_record({}, function(w, record, s)
      foreign(s, { op = "theirs" })
      local outcome, now = cas.replace(w, record, { op = "n1" })
      return outcome, now.status.op
    end)
    assert.same({ "lost", "theirs" }, r)
    assert.equal("theirs", stored(s).status.op)
  end)

  it("does not take another's grant of the same fence and session for its own write", function()
    local r = with_record({ replace = { { lose = "request" } } }, function(w, record, s)
      foreign(s, { op = "their:1", session = w.session, fence = 9, ttlMs = 3000 })
      return (cas.replace(w, record, { op = "mine:1", session = w.session, fence = 9, ttlMs = 10000 }))
    end)
    assert.same({ "lost" }, r)
  end)

  it("says lost without a record when it was deleted, and never makes it again", function()
    local r, _, s = with_record({}, function(w, record, s)
      assert(s.store:delete(assert(stored(s))))
      return cas.replace(w, record, { op = "n1" })
    end)
    assert.same({ "lost" }, r)
    assert.is_nil(stored(s))
  end)

  it("says lost when the record was deleted and made again while the answer was out", function()
    local r, _, s = with_record({ replace = { { lose = "answer" } } }, function(w, record, s)
      s:after(1000000, nil, function()
        assert(s.store:delete(assert(stored(s))))
        assert(s.store:create("Lease", "x", {}))
      end)
      local outcome, now = cas.replace(w, record, { op = "n1" })
      return outcome, now.status.op
    end)
    assert.same({ "lost" }, r)
    assert.is_nil(stored(s).status.op)
  end)

  it("reads again when a read is older than what it knows", function()
    local r, calls = with_record({ replace = { { lose = "answer" } }, get = { { stale = true }, { stale = true } } },
      function(w, record)
        -- the version before ours is the one that we started from: equal, so the write is repeated
        local outcome, new = cas.replace(w, record, { op = "n1" })
        return outcome, new.status.op
      end)
    assert.same({ "ok", "n1" }, r)
    assert.equal("get", calls[2])
  end)

  it("tries again after busy, and keeps the first time of sending", function()
    local r, calls = with_record({ replace = { { code = "busy" }, { code = "busy" } } }, function(w, record)
      local before = w.now()
      local outcome, _, t0 = cas.replace(w, record, { op = "n1" })
      return outcome, t0 - before, w.now() > before
    end)
    assert.same({ "ok", 0, true }, r)
    assert.same({ "replace", "replace", "replace" }, calls)
  end)

  it("says unknown at its deadline and not later than one call after it", function()
    local never = { lose = "request" }
    local r = with_record({ replace = { never, never, never }, get = { never, never, never, never } },
      function(w, record)
        local before = w.now()
        local outcome = cas.replace(w, record, { op = "n1" }, { give_up_at = before + 5000 })
        return outcome, w.now() - before
      end)
    assert.equal("unknown", r[1])
    assert.is_true(r[2] >= 5000 and r[2] <= 8000, tostring(r[2]))
  end)

  it("says fatal with the store's word when a right is missing", function()
    local r, calls = with_record({ replace = { { code = "denied", detail = "needs update on leases" } } },
      function(w, record) return cas.replace(w, record, { op = "n1" }) end)
    assert.same({ "fatal", "denied", "needs update on leases" }, r)
    assert.same({ "replace" }, calls)
  end)

  it("says fatal when the read that should tell is refused", function()
    local r = with_record({ replace = { { lose = "answer" } }, get = { { code = "denied", detail = "no get" } } },
      function(w, record) return cas.replace(w, record, { op = "n1" }) end)
    assert.same({ "fatal", "denied", "no get" }, r)
  end)

  it("recognises a write of the queue by what it did, because that keeps op", function()
    local r = with_record({ replace = { { lose = "answer" } } }, function(w, record)
      local outcome, new = cas.replace(w, record, { op = "start", waiters = { { session = "me" } } }, {
        by = "queue",
        landed = function(status) return status.waiters ~= nil and status.waiters[1].session == "me" end,
      })
      return outcome, new.rev - record.rev
    end)
    assert.same({ "ok", 1 }, r)
  end)
end)

describe("cas.get", function()
  it("says rolled_back when the store stays behind what was seen", function()
    local r = with_record({}, function(w, record)
      return select(2, cas.get(w, "Lease", "x", nil, record.rev + 5))
    end)
    assert.equal("rolled_back", r[1])
  end)

  it("gives up at its deadline with the reason", function()
    local down = { code = "store", detail = "connection refused" }
    local r = with_record({ get = { down, down, down, down, down, down, down, down } }, function(w)
      return cas.get(w, "Lease", "x", w.now() + 1000)
    end)
    assert.same({ nil, "store", "connection refused" }, r)
  end)

  it("ends at once when its task is cancelled", function()
    local s = sim.new { fault = function() return { code = "busy" } end }
    local code
    local process = s:start("a", function(w)
      local inbox = w.inbox()
      local task = w.task(inbox, function() code = select(2, cas.get(w, "Lease", "x")) end)
      w.sleep(500)
      task:cancel()
      inbox:wait()
      return w.now()
    end)
    assert.is_true(s:run_until(function() return process.done end))
    assert.equal(500, process.value)
    assert.equal("cancelled", code)
  end)
end)
