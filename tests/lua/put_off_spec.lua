--- News that a store puts off, for the sake of those whose turn it is: a waiter lets them come before it decides
--- because a time has come.

package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local elect = require "konductor.elect"
local play = require "lib.play"

--- A world whose watch keeps back the newest event for ever, unless it is asked for; `refused` counts its writes that
--- came to nothing.
local function putting_off(w)
  local slow = setmetatable({ refused = 0 }, { __index = w })
  function slow.replace(...)
    local record, code, detail = w.replace(...)
    slow.refused = slow.refused + (record and 0 or 1)
    return record, code, detail
  end
  function slow.watch(inbox, kind, name)
    local source, kept = w.inbox(), nil
    local real = assert(w.watch(source, kind, name))
    w.task(nil, function()
      local event = source:wait()
      while event do
        kept = event
        if event.record then
          kept = setmetatable({ record = setmetatable({ came_at = w.now() }, { __index = event.record }) },
            { __index = event })
        end
        event = source:wait()
      end
    end)
    local subscription = {}
    function subscription.catch_up()
      local event = kept
      kept = nil
      if event then
        inbox:post(event)
      end
      return event ~= nil
    end
    function subscription.close()
      real:close()
      source:close()
    end
    return subscription
  end
  return slow
end

local world = cast.world_of {
  serve = { run_ms = 3600000, term_ms = 100 },
  brief = { run_ms = 2000 },
}

local function candidate(work, wrap)
  return function(w)
    return elect.run(wrap and wrap(w) or w, {
      name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { work } }, stop_grace_ms = 10000,
    })
  end
end

describe("news that are put off", function()
  it("are taken in before a waiter takes a hold for lapsed, however often it was renewed", function()
    local s = world { peers = false, watch_sends_record = true }
    local a = s:start("a", candidate "serve")
    cast.until_running(s, "a")
    local slow
    local b = s:start("b", candidate("brief", function(w)
      slow = putting_off(w)
      return slow
    end))
    s:run_for(120000)
    assert.equal("a", cast.running(s))
    assert.equal(0, slow.refused) -- nothing was written upon a record that had changed
    a:stop()
    play.finish(s, a, b)
    play.judge(s)
  end)

  it("delay no takeover from a holder that died", function()
    local s = world { peers = false, watch_sends_record = true }
    local a = s:start("a", candidate "serve")
    cast.until_running(s, "a")
    local b = s:start("b", candidate("brief", putting_off))
    s:run_for(60000)
    local killed = s:time_ms()
    a:crash()
    cast.until_running(s, "b")
    assert.is_true(s:time_ms() - killed <= 15750 + 400)
    play.finish(s, b)
    play.judge(s)
  end)
end)
