--- Every row of the lease's state table, decision by decision, on records made by hand or
--- by the policy itself.

package.path = "tests/lua/?.lua;" .. package.path
local by_policy = require "lib.made_lease"
local lease = require "konductor.lease"
local made = require "lib.made"
local ttl = require "konductor.ttl"

local after, view, WALL, D = made.after, made.view, made.WALL, made.D
local me, rec, held_by_a = by_policy.me, by_policy.rec, by_policy.held_by_a
local queue, same_hold = by_policy.queue, by_policy.same_hold

describe("an absent lease", function()
  it("is created unheld first", function()
    local action = lease.decide(view(nil), me "a", 0)
    assert.equal("create", action.act)
    assert.is_nil(action.status)
  end)
end)

describe("an available lease without a queue", function()
  it("is acquired at once, with a fence above revision and former fence", function()
    local r = rec { fence = 3 }
    local m = me "a"
    local action = lease.decide(view(r, 0), m, 0)
    assert.equal("acquire", action.act)
    assert.equal("holder", action.by)
    local s = action.status
    assert.equal(11, s.fence)
    assert.equal(11, action.fence)
    assert.same({ "pod-a", "a", "process", D, m.op, 0, true, "Held", 0 },
      { s.holder, s.session, s.bound, s.ttlMs, s.op, s.renewals, s.accepted, s.phase, s.prio })
    assert.equal(WALL, s.acquired)
    assert.equal("2026-01-01T00:00:15.000000Z", s.expires)
    assert.equal("True", s.conditions[1].status)
    assert.is_nil(s.waiters)
  end)

  it("gets a fence above the old one though the revision is lower", function()
    assert.equal(101, lease.acquire(rec { fence = 100 }, me "a").fence)
  end)

  it("keeps fields that nobody here knows, and does not touch the record read", function()
    local r = rec { fence = 3, theirs = { x = 1 } }
    local s = lease.acquire(r, me "a")
    assert.equal(1, s.theirs.x)
    assert.same({ fence = 3, theirs = { x = 1 } }, r.status)
  end)

  it("is free though a foreign hand cleared only the holder", function()
    local r = held_by_a()
    r.status.holder = ""
    local action = lease.decide(view(r, 0), me "b", 0)
    assert.equal("acquire", action.act)
    assert.is_true(action.fence > r.status.fence)
  end)
end)

describe("an available lease with a queue", function()
  local function left_behind()
    local r = held_by_a(nil, "b", "c")
    r.status.holder, r.status.session = "", ""
    return r
  end

  it("is the head's at once, who leaves the queue with it", function()
    local action = lease.decide(view(left_behind(), 1000), me "b", 1000)
    assert.equal("acquire", action.act)
    assert.equal("c", action.status.waiters[1].session)
    assert.is_nil(action.status.waiters[2])
  end)

  it("is the next one's only a stagger later, who drops the head", function()
    local r, m = left_behind(), me "c"
    local action = lease.decide(view(r, 1000), m, 1000 + ttl.STAGGER_MS - 1)
    assert.equal("wait", action.act)
    assert.equal(1000 + ttl.STAGGER_MS, action.until_ms)
    action = lease.decide(view(r, 1000), m, 1000 + ttl.STAGGER_MS)
    assert.equal("acquire", action.act)
    assert.is_nil(action.status.waiters)
  end)

  it("makes one who is not queued wait for all ahead, unless above them", function()
    local r = left_behind()
    assert.equal(1000 + 2 * ttl.STAGGER_MS, lease.decide(view(r, 1000), me "z", 1000).until_ms)
    local action = lease.decide(view(r, 1000), me("z", { priority = 1 }), 1000)
    assert.equal("acquire", action.act)
    assert.equal("b", action.status.waiters[1].session)
  end)
end)

describe("a lease held by another", function()
  it("is joined once, at the tail, and leaves the hold as it is", function()
    local r = held_by_a(nil, "b")
    local action = lease.decide(view(r, 100), me "c", 100)
    assert.equal("join", action.act)
    assert.equal("queue", action.by)
    assert.equal("a", action.peer)
    assert.equal(100 + 15750 + ttl.STAGGER_MS, action.until_ms)
    same_hold(r.status, action.status)
    r = after(r, action.status)
    assert.equal("b c", queue(r))
    assert.equal("wait", lease.decide(view(r, 100), me "c", 100).act)
  end)

  it("is only watched by one who does not queue or finds the queue full", function()
    local r = held_by_a()
    assert.equal("wait", lease.decide(view(r), me("c", { queue = false }), 0).act)
    r = held_by_a(nil, "b", "c")
    r.spec.queueMax = 2
    assert.equal("wait", lease.decide(view(r), me "d", 0).act)
    local action = lease.decide(view(r), me("d", { priority = 1 }), 0)
    assert.equal("join", action.act)
    assert.equal("d b", queue(after(r, action.status)))
    local status, code = lease.join(r, me "e")
    assert.is_nil(status)
    assert.equal("busy", code)
  end)

  it("takes the spec's priority for one that states none", function()
    local r = held_by_a(nil, "b")
    r.spec.priority = 3
    local m = me "c"
    m.priority = nil
    r = after(r, lease.join(r, m))
    assert.equal("c b", queue(r))
    assert.equal(3, r.status.waiters[1].prio)
  end)

  it("is joined again by one who was dropped, without a second entry", function()
    local r = held_by_a(nil, "b", "c")
    assert.equal("c b", queue(after(r, lease.join(r, me "b"))))
  end)

  it("is left by a waiter in one write that leaves the hold as it is", function()
    local r = held_by_a(nil, "b", "c")
    local status, by = lease.withdraw(r, me "b")
    assert.equal("queue", by)
    same_hold(r.status, status)
    assert.equal("c", queue(after(r, status)))
    assert.is_nil(lease.leave(r, me "z"))
    assert.is_nil(lease.withdraw(r, me "z"))
    assert.is_nil(lease.withdraw(nil, me "z"))
  end)

  it("is not taken over before 105 % of the record's ttl, whatever our own is", function()
    local r = held_by_a({ ttl_ms = 60000 }, "b")
    local m = me("b", { ttl_ms = 1000 })
    local action = lease.decide(view(r, 500), m, 500 + 63000 - 1)
    assert.equal("wait", action.act)
    assert.equal(500 + 63000, action.until_ms)
    action = lease.decide(view(r, 500), m, 500 + 63000)
    assert.equal("takeover", action.act)
    assert.equal(1000, action.status.ttlMs)
  end)

  it("is taken over with a higher fence by the head, others stay queued", function()
    local r = held_by_a(nil, "b", "c")
    local action = lease.decide(view(r, 0), me "b", 15750)
    assert.equal("takeover", action.act)
    assert.equal("holder", action.by)
    assert.is_true(action.fence > r.status.fence)
    assert.is_true(action.fence > r.rev)
    assert.equal("c", queue(after(r, action.status)))
  end)

  it("is taken over by the next in rank a stagger later, who drops the dead ahead", function()
    local r = held_by_a(nil, "b", "c", "d")
    local m = me "c"
    assert.equal("wait", lease.decide(view(r, 0), m, 15750 + ttl.STAGGER_MS - 1).act)
    local action = lease.decide(view(r, 0), m, 15750 + ttl.STAGGER_MS)
    assert.equal("takeover", action.act)
    assert.equal("d", queue(after(r, action.status)))
  end)

  it("loses a request to make way when it is taken over", function()
    local r = held_by_a(nil, { "b", 1 })
    r = after(r, lease.request_preempt(r, me("b", { priority = 1, preempt = true })))
    assert.is_nil(lease.decide(view(r, 0), me("b", { priority = 1 }), 15750).status.preempt)
  end)

  it("is another's though it names our session, once it names another holder", function()
    local r = held_by_a()
    r.status.holder = "pod-z"
    assert.not_equal("accept", lease.decide(view(r), me "a", 0).act)
  end)

  it("is not taken over by what the record says of time for people", function()
    local r = held_by_a()
    r.status.expires, r.status.acquired = "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"
    r.age_ms = 10 * D
    assert.equal("join", lease.decide(view(r, 0), me "b", 1000).act)
  end)

  it("is taken over by a one-shot command by the age of the record only", function()
    local r = held_by_a()
    local m = me("b", { bound = "time", queue = false, skew_ms = 5000 })
    r.age_ms = 15750 + 7000
    assert.equal("wait", lease.decide(view(r, 0), m, 0).act)
    r.age_ms = 15750 + 7001
    local action = lease.decide(view(r, 0), m, 0)
    assert.equal("takeover", action.act)
    assert.equal("time", action.status.bound)
    assert.equal("", action.status.session)
    r = after(r, lease.join(r, me "c"))
    assert.equal("wait", lease.decide(view(r, 0), m, 0).act, "one in the queue goes first")
    r.age_ms = r.age_ms + 420
    assert.equal("takeover", lease.decide(view(r, 0), m, 0).act)
    r.age_ms = nil
    assert.equal("wait", lease.decide(view(r, 0), m, 0).act)
  end)

  it("waits from now on when nobody knows since when it stands", function()
    local v = view(held_by_a(nil, "b"))
    v.since = nil
    assert.equal(70000 + 15750, lease.decide(v, me "b", 70000).until_ms)
  end)

  it("says for people who holds it, how long that can take, and the place in the queue", function()
    local why = lease.decide(view(held_by_a(nil, "b"), 0), me "b", 750).why
    assert.truthy(why:find("held by pod-a", 1, true))
    assert.truthy(why:find("15s", 1, true))
    assert.truthy(why:find("place 1", 1, true))
  end)
end)

describe("a lease whose holder's process is dead", function()
  it("is taken over at once, without a wait", function()
    local r = held_by_a(nil, "b")
    assert.equal("takeover", lease.decide(view(r, 0, { gone = true }), me "b", 1).act)
    assert.equal("takeover", lease.decide(view(r, 0, { gone = true }), me "z", 1).act)
  end)

  it("is taken over in rank, counted from when the death was known", function()
    local r = held_by_a(nil, "b", "c")
    local v = view(r, 0, { gone = true, gone_at = 5000 })
    assert.equal("takeover", lease.decide(v, me "b", 5000).act)
    local action = lease.decide(v, me "c", 5000)
    assert.equal("wait", action.act)
    assert.equal(5000 + ttl.GONE_STAGGER_MS, action.until_ms)
    assert.equal("takeover", lease.decide(v, me "c", action.until_ms).act)
    assert.equal("wait", lease.decide(v, me "z", 5000).act, "no write to join a queue that moves on")
  end)

  it("is waited for like any other when the hold is bound to time", function()
    local r = held_by_a({ bound = "time" }, "b")
    local action = lease.decide(view(r, 0, { gone = true }), me "b", 1)
    assert.equal("wait", action.act)
    assert.equal(15750, action.until_ms)
    assert.is_nil(action.peer)
  end)
end)

describe("a hold", function()
  it("is renewed by a write that counts, changes the nonce and nothing else of the hold", function()
    local r, m = held_by_a(nil, "b")
    m.op, m.wall = "a:renew", "2026-01-01T00:01:00.000000Z"
    local s = assert(lease.renew(r, m))
    assert.equal(1, s.renewals)
    assert.equal("a:renew", s.op)
    assert.equal("2026-01-01T00:01:15.000000Z", s.expires)
    assert.equal(r.status.acquired, s.acquired)
    assert.equal(r.status.fence, s.fence)
    assert.equal(r.status.waiters, s.waiters, "shared, not copied")
    assert.equal(2, lease.renew(after(r, s), m).renewals)
  end)

  it("starts the wait of the others anew with every renewal, and with no join", function()
    local r, m = held_by_a()
    local op = r.status.op
    m.op = "a:renew"
    assert.not_equal(op, lease.renew(r, m).op)
    assert.equal(op, lease.join(r, me "b").op)
  end)

  it("is not ours once holder, session, fence or record differ", function()
    local r, m = held_by_a()
    assert.is_true(lease.held(r, m))
    assert.is_false(lease.held(nil, m))
    for key, value in pairs { holder = "pod-z", session = "z", fence = 99 } do
      local changed = after(r, setmetatable({ [key] = value }, { __index = r.status }))
      assert.is_false(lease.held(changed, m), key)
      for _, write in ipairs { lease.renew, lease.release } do
        local status, code = write(changed, m)
        assert.is_nil(status)
        assert.equal("lost", code)
      end
    end
    local cleared = after(r, setmetatable({ holder = "" }, { __index = r.status }))
    assert.is_false(lease.held(cleared, m))
    assert.is_false(lease.held(after(r, {}), m))
  end)

  it("of a restarted pod of the same name is another's", function()
    local r = held_by_a()
    local again = me("a2", { holder = "pod-a" })
    assert.equal("join", lease.decide(view(r), again, 0).act)
  end)

  it("may be declared not renewable", function()
    local r = held_by_a()
    assert.is_true(lease.renewable(r))
    r.spec.renewable = false
    assert.is_false(lease.renewable(r))
  end)
end)

describe("a release", function()
  it("without a queue makes the lease available and keeps the fence", function()
    local r, m = held_by_a()
    m.op = "a:release"
    local s, first = lease.release(r, m)
    assert.is_nil(first)
    assert.same({ "", "", "Available", r.status.fence, "a:release" }, { s.holder, s.session, s.phase, s.fence, s.op })
    for _, key in ipairs { "bound", "ttlMs", "accepted", "prio", "acquired", "expires", "waiters", "preempt" } do
      assert.is_nil(s[key], key)
    end
    assert.is_true(lease.acquire(after(r, s), me "b").fence > s.fence)
  end)

  it("with a queue grants the head in the same write, for three seconds", function()
    local r, m = held_by_a(nil, "b", { "c", 5 }, "d")
    m.op = "a:release"
    local s, first = lease.release(r, m)
    assert.equal("c", first)
    assert.same({ "pod-c", "c", "process", 3000, false, 0, "Held", 5, "a:release" },
      { s.holder, s.session, s.bound, s.ttlMs, s.accepted, s.renewals, s.phase, s.prio, s.op })
    assert.is_true(s.fence > r.status.fence)
    assert.equal("b d", queue(after(r, s)))
    assert.equal("2026-01-01T00:00:03.000000Z", s.expires)
  end)

  it("never grants the lease to the one who gives it up", function()
    local r, m = held_by_a()
    r.status.waiters = { { id = "pod-a", session = "a", prio = 0 } }
    local s, first = lease.release(r, m)
    assert.is_nil(first)
    assert.same({ "", "Available" }, { s.holder, s.phase })
    assert.is_nil(s.waiters)
  end)

  it("is refused to one who does not hold", function()
    local r = held_by_a()
    assert.equal("lost", select(2, lease.release(r, me("b", { fence = r.status.fence }))))
  end)

  it("of a hold bound to time needs holder and fence, and no session", function()
    local r = held_by_a { bound = "time" }
    local other = me("later", { holder = "pod-a", bound = "time", fence = r.status.fence })
    assert.equal(1, lease.renew(r, other).renewals)
    assert.equal("", lease.release(r, other).holder)
    other.fence = 1
    assert.equal("lost", select(2, lease.release(r, other)))
    other.fence, other.bound = r.status.fence, "process"
    assert.is_false(lease.held(r, other))
  end)
end)

describe("a granted lease", function()
  local function granted()
    local r, m = held_by_a(nil, "b", "c")
    return after(r, (lease.release(r, m)))
  end

  it("is accepted under the granted fence with a full time to live", function()
    local r, m = granted(), me "b"
    local action = lease.decide(view(r), m, 0)
    assert.equal("accept", action.act)
    assert.equal("holder", action.by)
    local s = action.status
    assert.same({ r.status.fence, true, D, m.op, 0 }, { s.fence, s.accepted, s.ttlMs, s.op, s.renewals })
    assert.equal("c", queue(after(r, s)))
  end)

  it("is accepted under a new fence when the work ran under this one before", function()
    local r = granted()
    local action = lease.decide(view(r), me("b", { ran = r.status.fence }), 0)
    assert.is_true(action.fence > r.status.fence)
    action = lease.decide(view(r), me("b", { ran = r.status.fence - 1 }), 0)
    assert.equal(r.status.fence, action.fence)
  end)

  it("is accepted bound to time by a one-shot candidate that queued as a process", function()
    local s = lease.accept(granted(), me("b", { bound = "time" }))
    assert.same({ "time", "" }, { s.bound, s.session })
  end)

  it("leaves the queue with the accept of one who still stood in it", function()
    local r = granted()
    table.insert(r.status.waiters, { id = "pod-b", session = "b", prio = 0 })
    assert.equal("c", queue(after(r, lease.accept(r, me "b"))))
  end)

  it("is not acceptable to anybody else", function()
    local status, code = lease.accept(granted(), me "c")
    assert.is_nil(status)
    assert.equal("lost", code)
  end)

  it("that nobody accepts passes to the next in rank after its three seconds", function()
    local r = granted()
    local action = lease.decide(view(r, 1000), me "c", 1000 + 3149)
    assert.equal("wait", action.act)
    assert.equal(1000 + 3150, action.until_ms)
    action = lease.decide(view(r, 1000), me "c", 1000 + 3150)
    assert.equal("takeover", action.act)
    assert.is_nil(action.status.waiters)
  end)

  it("is passed on at once by a grantee that gives up", function()
    local r = granted()
    local s, by, first = lease.withdraw(r, me "b")
    assert.same({ "holder", "c", "c" }, { by, first, s.session })
    assert.is_true(s.fence > r.status.fence)
  end)

  it("is accepted again after an own write whose answer was lost", function()
    local r = held_by_a()
    local action = lease.decide(view(r), me "a", 0)
    assert.equal("accept", action.act)
    assert.equal(r.status.fence, action.fence)
  end)
end)

describe("a hold bound to time", function()
  it("is run under by its holder, known by holder and fence", function()
    local r = held_by_a { bound = "time" }
    local action = lease.decide(view(r), me("a", { bound = "time", fence = r.status.fence }), 0)
    assert.same({ "run", r.status.fence }, { action.act, action.fence })
  end)

  it("is not stolen by the same holder name without the fence", function()
    local r = held_by_a { bound = "time" }
    assert.equal("wait", lease.decide(view(r), me("a", { bound = "time", queue = false }), 0).act)
  end)
end)
