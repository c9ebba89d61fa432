--- Each condition of a Once says to people why it is so, whatever was done to the record.

package.path = "tests/lua/?.lua;" .. package.path
local by_policy = require "lib.made_once"
local made = require "lib.made"
local once = require "konductor.once"

local me, after = by_policy.me, made.after

local function messages(record)
  local found = {}
  for _, c in ipairs(record.status.conditions) do
    assert.is_string(c.reason)
    assert.is_true(type(c.message) == "string" and #c.message > 5, c.type .. " " .. c.reason .. " has no message")
    found[c.type] = c.message
  end
  return found
end

describe("the conditions of a Once", function()
  it("say who works on what, and then that it is done", function()
    local claimed, holder = by_policy.claimed_by_a()
    assert.equal("pod-a works on version 1, attempt 1", messages(claimed).Running)
    local s = once.complete(claimed, holder)
    assert.equal("pod-a executed version 1", messages(after(claimed, s)).Running)
  end)

  it("say what failed and what is left, and that it no longer counts once it ended well", function()
    local claimed, holder = by_policy.claimed_by_a()
    local failed = after(claimed, (once.fail(claimed, holder, { exit_code = 3, error = "exit code 3" })))
    assert.equal("attempt 1 failed: exit code 3; others are left", messages(failed).Failed)
    local again = me "b"
    again.max_attempts = 2
    local second = after(failed, (once.claim(failed, again)))
    assert.equal("no failed attempt stands any more", messages(second).Failed)
    assert.equal("pod-b works on version 1, attempt 2", messages(second).Running)
    again.fence = second.status.fence
    local last = after(second, (once.fail(second, again, { error = "exit code 4" })))
    assert.equal("no attempt is left after 2: exit code 4", messages(last).Failed)
    assert.truthy(messages(last).Ready:find("koncli once reset", 1, true))
    assert.equal("version 1 was reset by a person", messages(after(last, (once.reset(last, me "c")))).Running)
  end)

  it("say of work that was stopped or is in doubt what a person has to know", function()
    local claimed, holder = by_policy.claimed_by_a()
    messages(after(claimed, (once.release(claimed, holder, true))))
    holder.mode = "AtMostOnce"
    local doubtful = me("b", { mode = "AtMostOnce" })
    local action = once.decide({ record = claimed, since = 0, gone = true }, doubtful, 1)
    local marked = after(claimed, action.status)
    assert.equal("pod-a is gone; version 1 may or may not have run", messages(marked).Unknown)
    assert.truthy(messages(marked).Ready:find("koncli once resolve", 1, true))
    for _, ran in ipairs { true, false } do
      assert.equal("nothing is in doubt any more", messages(after(marked, (once.resolve(marked, me "p", ran)))).Unknown)
    end
  end)

  it("can be written over a record that lacks the fields which they speak of", function()
    local bare = by_policy.rec { session = "x", ttlMs = 1 }
    local action = once.decide({ record = bare, since = 0, gone = true }, me("b", { mode = "AtMostOnce" }), 1)
    messages(after(bare, action.status))
    action = once.decide({ record = bare, since = 0, gone = true }, me("b", { max_attempts = 1 }), 1)
    messages(after(bare, action.status))
  end)
end)
