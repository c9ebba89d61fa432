--- Records of a lease made by the policy itself, for tests of its decisions.

local made = require "lib.made"
local lease = require "konductor.lease"
local assert = require "luassert"

local M = {}

function M.me(name, over)
  local m = made.me(name, over)
  m.priority = m.priority or 0
  m.queue = m.queue ~= false
  return m
end

function M.rec(status, over)
  local r = made.rec("Lease", status, over)
  r.spec = over and over.spec or { ttl = "15s" }
  return r
end

-- A lease held by "a", with the given sessions queued at priority 0 or {session, prio}.
function M.held_by_a(over, ...)
  local m = M.me("a", over)
  local r = M.rec()
  r = made.after(r, assert(lease.acquire(r, m)))
  m.fence = r.status.fence
  for _, w in ipairs { ... } do
    local name, prio = w, 0
    if type(w) == "table" then
      name, prio = w[1], w[2]
    end
    r = made.after(r, assert(lease.join(r, M.me(name, { priority = prio }))))
  end
  return r, m
end

function M.queue(r)
  local names = {}
  for i, w in ipairs(r.status.waiters or {}) do
    names[i] = w.session
  end
  return table.concat(names, " ")
end

-- Asserts that both statuses name the same hold and leave it the same time.
function M.same_hold(old, new)
  for _, key in ipairs {
    "holder", "session", "bound", "fence", "ttlMs", "op", "renewals", "accepted", "phase", "expires",
  } do
    assert.equal(old[key], new[key], key)
  end
end

return M
