local observe = require "konductor.observe"
local sim = require "konductor.sim.world"

local function run(options, fn)
  local s = sim.new(options)
  local process = s:start("a", function(w)
    local inbox = w.inbox()
    local view = assert(observe.open(w, inbox, "Lease", "x"))
    return fn(w, view, inbox, s)
  end)
  assert.is_true(s:run_until(function() return process.done end))
  assert(process.ok, process.value)
  return process.value
end

local function record(rev, status, uid)
  return { kind = "Lease", name = "x", uid = uid or "u1", rev = rev, spec = {}, status = status or {} }
end

local function held(op, more)
  local status = { session = "s1", fence = 4, op = op, ttlMs = 15000, bound = "process" }
  for k, v in pairs(more or {}) do
    status[k] = v
  end
  return status
end

describe("a view", function()
  it("knows nothing before it is told", function()
    run({}, function(_, view)
      assert.is_false(view.known)
      assert.is_nil(view.record)
    end)
  end)

  it("counts from when the hold was first seen, through joins and foreign edits", function()
    run({}, function(w, view)
      view:see(record(1, held "n1"))
      local since = view.since
      w.sleep(100)
      assert.is_true(view:see(record(2, held("n1", { waiters = { { session = "w" } } }))))
      assert.is_true(view:see(record(3, held("n1", { note = "an operator was here" }))))
      assert.equal(since, view.since)
      assert.equal(3, view.record.rev)
    end)
  end)

  for field, value in pairs { session = "s2", fence = 5, op = "n2", ttlMs = 3000 } do
    it("counts anew when " .. field .. " changes", function()
      run({}, function(w, view)
        view:see(record(1, held "n1"))
        w.sleep(100)
        view:see(record(2, held("n1", { [field] = value })))
        assert.equal(w.now(), view.since)
      end)
    end)
  end

  it("counts from when the news came, though it was put off", function()
    run({}, function(w, view)
      view:see(record(1, held "n1"))
      w.sleep(100)
      local came = w.now()
      w.sleep(700)
      local late = record(2, held "n2")
      late.came_at = came
      view:see(late)
      assert.equal(came, view.since)
    end)
  end)

  it("has nothing to catch up with where nothing is put off", function()
    run({}, function(_, view)
      assert.is_false(view:catch_up())
    end)
  end)

  it("counts anew when the record was deleted and made again", function()
    run({}, function(w, view)
      view:see(record(1, held "n1"))
      w.sleep(100)
      view:see(record(3, held "n1", "u2"))
      assert.equal(w.now(), view.since)
    end)
  end)

  it("drops what is older than it knows", function()
    run({}, function(_, view)
      view:see(record(5, held "n5"))
      assert.is_false(view:see(record(5, held "n5")))
      assert.is_false(view:see(record(4, held "n4")))
      assert.equal("n5", view.record.status.op)
    end)
  end)

  it("keeps a deleted record buried when its last event comes late", function()
    run({}, function(_, view)
      view:see(record(5, held "n5"))
      assert.is_true(view:see_absent())
      assert.is_false(view:see(record(5, held "n5")))
      assert.is_nil(view.record)
      assert.is_true(view:see(record(6, {}, "u2")))
    end)
  end)

  for what, seen in pairs { ["is older than what was seen"] = 9, ["was seen to be deleted"] = 2 } do
    it("says rolled_back when a deleted record is there again and " .. what, function()
      run({}, function(w, view)
        assert(w.create("Lease", "x", {}))
        view:see(record(seen, held "n", seen == 9 and "another" or nil))
        view:see_absent()
        assert.equal("rolled_back", select(2, view:refresh()))
      end)
    end)
  end

  it("does not let a read that says absent clear what came in meanwhile", function()
    local reads = 0
    run({
      watch_sends_record = true,
      fault = function(op)
        if op.verb == "get" then
          reads = reads + 1
          return reads == 1 and { back_ms = 500 } or nil
        end
      end,
    }, function(w, view, inbox, s)
      s:after(100000, nil, function() s.store:create("Lease", "x", {}) end)
      w.task(nil, function()
        local event = inbox:wait()
        view:take(event)
      end)
      assert(view:refresh())
      assert.equal(2, reads)
      assert.equal(2, view.record.rev)
    end)
  end)

  it("reads the object when an event carries no record", function()
    run({ watch_sends_record = false }, function(_, view, inbox, s)
      s.store:create("Lease", "x", { ttl = "15s" })
      assert.is_true(view:take(inbox:wait()))
      assert.equal("15s", view.record.spec.ttl)
    end)
  end)

  it("leaves events of others to others", function()
    run({}, function(_, view)
      assert.is_false(view:take { type = "changed", kind = "Lease", name = "y" })
      assert.is_false(view:take { type = "changed", kind = "Once", name = "x" })
      assert.is_false(view:take { type = "stop" })
      assert.is_false(view:take { type = "gone", session = "nobody" })
      assert.is_false(view.known)
    end)
  end)

  --- Puts a record held by that session into the store and lets the view read it.
  local function hold_by(session, view, s)
    local made = s.store:get("Lease", "x") or s.store:create("Lease", "x", { ttl = "15s" })
    s.store:replace(made, held("n" .. made.rev, { session = session }), {})
    assert.is_true(view:refresh())
  end

  local function next_gone(view, inbox, w)
    while true do
      local event = assert(inbox:wait(w.now() + 1000))
      local mine = view:take(event)
      if event.type == "gone" then
        return mine
      end
    end
  end

  it("hears of the end of the session that holds", function()
    run({}, function(w, view, inbox, s)
      local peer = s:boot("b")
      hold_by(peer.session, view, s)
      assert.is_false(view.gone)
      peer:crash()
      assert.is_true(next_gone(view, inbox, w))
      assert.is_true(view.gone)
    end)
  end)

  it("hears at once of a holder that was dead before it looked", function()
    run({}, function(w, view, inbox, s)
      local peer = s:boot("b")
      peer:crash()
      hold_by(peer.session, view, s)
      assert.is_true(next_gone(view, inbox, w))
      assert.is_true(view.gone)
    end)
  end)

  it("looks again when a holder has ended: it may have given the hold to another before that", function()
    run({ watch_sends_record = false }, function(w, view, inbox, s)
      local first, second = s:boot("b"), s:boot("c")
      hold_by(first.session, view, s)
      while inbox:wait(w.now() + 10) do end -- told of what it has read already
      view.watch:close()
      s.store:replace(s.store:get("Lease", "x"), held("granted", { session = second.session }), {})
      first:crash()
      assert.is_true(next_gone(view, inbox, w))
      assert.equal(second.session, view.record.status.session)
      assert.is_false(view.gone)
    end)
  end)

  it("forgets the death of one holder when there is another", function()
    run({}, function(w, view, inbox, s)
      local first, second = s:boot("b"), s:boot("c")
      view:see(record(1, held("n1", { session = first.session })))
      first:crash()
      view:take(inbox:wait())
      view:see(record(2, held("n2", { session = second.session })))
      assert.is_false(view.gone)
      assert.is_nil((inbox:wait(w.now() + 100)))
    end)
  end)

  it("asks nobody about a hold that is bound to time", function()
    run({}, function(w, view, inbox, s)
      local peer = s:boot("b")
      view:see(record(1, held("n1", { session = peer.session, bound = "time" })))
      peer:crash()
      assert.is_nil((inbox:wait(w.now() + 100)))
      assert.is_false(view.gone)
    end)
  end)

  it("ends its subscriptions when closed", function()
    run({}, function(w, view, inbox, s)
      local peer = s:boot("b")
      view:see(record(1, held("n1", { session = peer.session })))
      view:close()
      peer:crash()
      s.store:create("Lease", "x", {})
      assert.is_nil((inbox:wait(w.now() + 100)))
      assert.equal(0, #s.watches)
      assert.equal(0, #s.peer_watches)
    end)
  end)
end)
