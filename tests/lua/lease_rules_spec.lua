--- The lease policy beyond its state table: preemption, records of other programs, and any order of steps.

package.path = "tests/lua/?.lua;" .. package.path
local by_policy = require "lib.made_lease"
local lease = require "konductor.lease"
local made = require "lib.made"
local record = require "konductor.record"
local ttl = require "konductor.ttl"

local after, view = made.after, made.view
local me, rec, held_by_a = by_policy.me, by_policy.rec, by_policy.held_by_a
local same_hold = by_policy.same_hold

describe("preemption", function()
  it("is asked for with the join when the spec allows it and the priority is higher", function()
    local r = held_by_a()
    r.spec.preempt = true
    local action = lease.decide(view(r), me("b", { priority = 1 }), 0)
    assert.equal("join", action.act)
    assert.same({ session = "b", prio = 1 }, action.status.preempt)
    assert.is_true(lease.preempted(after(r, action.status)))
    same_hold(r.status, action.status)
  end)

  it("is asked for by a waiter that queues already, once, as the queue", function()
    local r = held_by_a(nil, { "b", 1 })
    r.spec.preempt = true
    local m = me("b", { priority = 1 })
    local action = lease.decide(view(r), m, 0)
    assert.same({ "preempt", "queue", "a" }, { action.act, action.by, action.first })
    r = after(r, action.status)
    assert.equal("wait", lease.decide(view(r), m, 0).act)
    assert.equal("busy", select(2, lease.request_preempt(r, m)))
  end)

  it("is asked for by the candidate's own wish too", function()
    local r = held_by_a(nil, { "b", 1 })
    assert.equal("wait", lease.decide(view(r), me("b", { priority = 1 }), 0).act)
    assert.equal("preempt", lease.decide(view(r), me("b", { priority = 1, preempt = true }), 0).act)
  end)

  it("is not asked for by an equal, of a grantee, or against a higher request", function()
    local r = held_by_a(nil, { "b", 0 }, { "c", 1 }, { "d", 2 })
    r.spec.preempt = true
    assert.equal("wait", lease.decide(view(r), me "b", 0).act)
    r = after(r, lease.request_preempt(r, me("d", { priority = 2 })))
    assert.equal("wait", lease.decide(view(r), me("c", { priority = 1 }), 0).act)
    r.status.preempt, r.status.accepted = nil, false
    assert.equal("wait", lease.decide(view(r), me("d", { priority = 2 }), 0).act)
  end)

  it("is asked for again when the one who asked has left", function()
    local r = held_by_a(nil, { "c", 1 }, { "d", 2 })
    r.spec.preempt = true
    r = after(r, lease.request_preempt(r, me("d", { priority = 2 })))
    local gone = after(r, lease.leave(r, me "d"))
    assert.is_nil(gone.status.preempt)
    r.status.waiters = { r.status.waiters[2] }
    assert.is_false(lease.preempted(r))
    assert.equal("preempt", lease.decide(view(r), me("c", { priority = 1 }), 0).act)
  end)

  it("is not granted to a request that is not above the holder", function()
    local r = held_by_a({ priority = 1 }, { "b", 1 })
    r.status.preempt = { session = "b", prio = 1 }
    assert.is_false(lease.preempted(r))
    r.status.preempt.prio = 2
    assert.is_true(lease.preempted(r))
  end)

  it("gives the lease to the one who asked, whose grant carries no request", function()
    local r, m = held_by_a(nil, "b", { "c", 1 })
    r.spec.preempt = true
    r = after(r, lease.request_preempt(r, me("c", { priority = 1 })))
    local s, first = lease.release(r, m)
    assert.equal("c", first)
    assert.is_nil(s.preempt)
    assert.is_false(lease.preempted(after(r, s)))
  end)
end)

describe("a lease that another program wrote", function()
  local damaged = {
    ["a holder that is no text"] = { holder = 7 },
    ["a fence that is no number"] = { holder = "z", fence = "7" },
    ["a broken fence"] = { holder = "z", fence = 1.5 },
    ["a negative fence"] = { fence = -1 },
    ["a fence beyond 2^53"] = { fence = 2 ^ 54 },
    ["a fence that none can follow"] = { fence = 2 ^ 53 },
    ["conditions that are no list"] = { conditions = 5 },
    ["a condition that is no table"] = { conditions = { 5 } },
    ["a ttl of 0"] = { holder = "z", ttlMs = 0 },
    ["an unknown bound"] = { bound = "moon" },
    ["a request that is no table"] = { preempt = true },
    ["an acceptance that is no boolean"] = { accepted = "yes" },
  }
  for what, status in pairs(damaged) do
    it("is refused when it has " .. what, function()
      local action = lease.decide(view(rec(status)), me "a", 0)
      assert.same({ "fail", "corrupt" }, { action.act, action.code })
      assert.truthy(action.why:find("^Lease x: status%."), action.why)
      assert.equal("corrupt", select(2, lease.acquire(rec(status), me "a")))
      assert.equal("corrupt", select(2, lease.join(rec(status), me "a")))
    end)
  end

  local whole = { id = "pod-w", session = "w", prio = 0 }
  local garbled = {
    ["waiters that are no list"] = { a = {} },
    ["waiters that are no table"] = 7,
    ["a waiter that is no table"] = { "a", whole },
    ["a waiter without session"] = { { id = "a", prio = 0 }, whole },
    ["a waiter without name"] = { { session = "a", prio = 0 }, whole },
    ["a waiter without priority"] = { whole, { id = "a", session = "a" } },
    ["a waiter of half a priority"] = { whole, { id = "a", session = "a", prio = 0.5 } },
    ["a hole in the queue"] = { [2] = whole },
    ["a waiter twice"] = { whole, { id = "pod-w", session = "w", prio = -1 } },
  }
  for what, waiters in pairs(garbled) do
    local rest = type(waiters) == "table" and not waiters.a and { whole } or nil

    it("is held, renewed, joined, left and handed over without those when it has " .. what, function()
      local held = { holder = "pod-z", session = "z", ttlMs = 1000, fence = 4, op = "o", waiters = waiters }
      local joiner = me("a", { queue = true })
      local queue = lease.decide(view(rec(held)), joiner, 0).status.waiters
      assert.equal(rest and 2 or 1, #queue)
      assert.equal("a", queue[#queue].session)
      assert.is_nil(lease.leave(rec(held), joiner))
      local free = rec { waiters = waiters }
      assert.same(rest, lease.acquire(free, me("b", { priority = 5 })).waiters)
      local holder = { holder = "pod-z", session = "z", fence = 4, op = "n", wall = made.WALL }
      local status, first = lease.release(rec(held), holder)
      assert.same({ rest and "w" or nil, nil }, { first, status.waiters })
      assert.same(rest, lease.revoke(rec(held), { op = "n" }).waiters)
      holder.ttl_ms = 1000
      assert.same(rest, lease.renew(rec(held), holder).waiters)
      assert.is_true(record.lease(rec(held)).is_garbled)
    end)
  end

  it("is handed over to nobody who gives it up, though the queue has its holder in it twice", function()
    local own = { id = "pod-z", session = "z", prio = 0 }
    local held = { holder = "pod-z", session = "z", ttlMs = 1000, fence = 4, op = "o", waiters = { own, own, whole } }
    local holder = { holder = "pod-z", session = "z", fence = 4, op = "n", wall = made.WALL }
    assert.equal("pod-w, the term is over", lease.awaited(rec(held)))
    local status, first = lease.release(rec(held), holder)
    assert.same({ "w", nil }, { first, status.waiters })
    held.waiters = { own, own }
    assert.is_nil(lease.awaited(rec(held)))
    status, first = lease.release(rec(held), holder)
    assert.same({ "", nil, nil }, { status.holder, first, status.waiters })
  end)

  it("keeps nobody out for longer than a full queue does, however many somebody wrote into it", function()
    local crowd = {}
    for i = 1, 1000 do
      crowd[i] = { id = "ghost", session = "ghost" .. i, prio = 0 }
    end
    local full_ms = record.QUEUE_MAX * ttl.STAGGER_MS
    assert.equal(full_ms, lease.decide(view(rec { waiters = crowd }), me "a", 0).until_ms)
    local held = { holder = "pod-z", session = "z", ttlMs = 1000, fence = 4, op = "o", waiters = crowd }
    assert.equal(1050 + full_ms, lease.decide(view(rec(held)), me "a", 0).until_ms)
    assert.equal("takeover", lease.decide(view(rec(held)), me "ghost900", 1050 + full_ms).act)
  end)

  it("asks nothing of one who gives up", function()
    assert.is_nil((lease.withdraw(rec { fence = "x" }, me "a")))
  end)

  it("is refused when nothing says how long it is held", function()
    local action = lease.decide(view(rec({ holder = "z" }, { spec = {} })), me "a", 0)
    assert.same({ "fail", "corrupt" }, { action.act, action.code })
    assert.equal("fail", lease.decide(view(rec({}, { spec = { ttl = "soon" } })), me "a", 0).act)
    assert.equal("fail", lease.decide(view(rec("text")), me "a", 0).act)
  end)

  it("counts as held for the spec's ttl, bound to time, when only a holder is named", function()
    local action = lease.decide(view(rec { holder = "z" }, 0, { gone = true }), me "a", 0)
    assert.equal("join", action.act)
    assert.equal(15750, action.until_ms)
  end)
end)

describe("a lease that another program holds", function()
  local function foreign(more)
    local status = {
      holder = "them", session = "", bound = "process", op = "foreign:them:t:1", ttlMs = 10000, fence = 4,
      foreign = true,
    }
    for key, value in pairs(more or {}) do
      status[key] = value
    end
    return rec(status)
  end

  it("is waited for outside of any queue", function()
    local r = foreign()
    r.spec.preempt = true
    local action = lease.decide(view(r, 100), me("a", { priority = 9 }), 200)
    assert.same({ "wait", 100 + 10500 }, { action.act, action.until_ms })
    assert.truthy(action.why:find("held by them", 1, true))
    assert.is_nil(action.status)
  end)

  it("is taken over when it stood unchanged for its time, with a higher fence", function()
    local action = lease.decide(view(foreign(), 100), me "a", 100 + 10500)
    assert.equal("takeover", action.act)
    assert.equal("pod-a", action.status.holder)
    assert.equal("a", action.status.session)
    assert.is_nil(action.status.foreign)
    assert.is_true(action.status.fence > 10)
  end)

  it("is nobody's of us, though the name be the same", function()
    local r = foreign { holder = "pod-a" }
    assert.is_false(lease.held(r, me("a", { fence = 4 })))
    assert.equal("wait", lease.decide(view(r, 0), me("a", { fence = 4, bound = "time" }), 0).act)
  end)
end)

describe("a hold that a person wrote, without session and without what it is bound to", function()
  it("is that of whoever knows its name and fence, and of no process of that name", function()
    local r = rec { holder = "pod-a", phase = "Held", fence = 7 }
    local known = me("a", { bound = "time", fence = 7, ttl_ms = 15000 })
    assert.is_true(lease.held(r, known))
    assert.equal(15000, lease.renew(r, known).ttlMs)
    assert.equal("", lease.release(r, known).holder)
    assert.is_false(lease.held(r, me("a", { bound = "time", fence = 6 })))
    assert.is_false(lease.held(r, me("b", { bound = "time", fence = 7 })))
    assert.is_false(lease.held(r, me("a", { bound = "process", fence = 7 })))
    assert.equal("wait", lease.decide(view(r), me("a", { queue = false }), 0).act)
  end)
end)

describe("a lease that is being deleted", function()
  it("is granted to nobody any more, by whatever way", function()
    local free, held = rec({ holder = "", fence = 3 }, { deleting = true }), held_by_a(nil, "b")
    held.deleting = true
    assert.equal("wait", lease.decide(view(free), me "a", 0).act)
    assert.equal("wait", lease.decide(view(held, 0), me "b", 10 ^ 7).act)
    local granted = rec({
      holder = "pod-a", session = "a", bound = "process", fence = 3, ttlMs = 3000, accepted = false,
    }, { deleting = true })
    assert.equal("wait", lease.decide(view(granted), me "a", 0).act)
  end)

  it("asks its holder to make way, whose release hands it to nobody", function()
    local r, m = held_by_a(nil, "b")
    assert.is_nil(lease.asked(r))
    r.deleting = true
    assert.equal("its deletion", lease.asked(r))
    local s, first = lease.release(r, m)
    assert.same({ "", nil, nil }, { s.holder, s.waiters, first })
  end)
end)

describe("any order of steps", function()
  it("makes the fence grow with every grant, and queues nobody twice", function()
    local seed = 12345
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n
    end
    local r, top, grants = rec(), 0, 0
    for now = 0, 4000000, 1000 do
      local m = me(("abcdef"):sub(1 + random(6)):sub(1, 1), { priority = random(3), fence = r.status.fence })
      local status
      if lease.held(r, m) and random(2) == 0 then
        status = random(3) == 0 and lease.release(r, m) or lease.renew(r, m)
      elseif random(5) == 0 then
        status = (lease.withdraw(r, m))
      else
        status = lease.decide(view(r, now - random(20000)), m, now).status
      end
      if status then
        if status.fence ~= r.status.fence then
          assert.is_true(status.fence > top)
          top, grants = status.fence, grants + 1
        end
        r = after(r, status)
        local seen = {}
        for _, w in ipairs(r.status.waiters or {}) do
          assert.is_nil(seen[w.session])
          assert.not_equal(w.session, r.status.session)
          seen[w.session] = true
        end
      end
    end
    assert.is_true(grants > 100)
  end)
end)
