--- Records of a once made by the policy itself, for tests of its decisions.

local made = require "lib.made"
local once = require "konductor.once"
local record = require "konductor.record"

local M = {}

function M.me(name, over)
  local m = made.me(name, over)
  m.version = m.version or "1"
  return m
end

function M.rec(status, over)
  return made.rec("Once", status, over)
end

function M.claimed_by_a(over, spec)
  local m = M.me("a", over)
  local r = M.rec(nil, { spec = spec or {} })
  r = made.after(r, once.claim(r, m))
  m.fence = r.status.fence
  return r, m
end

function M.executed_by_a(over, spec)
  local r, m = M.claimed_by_a(over, spec)
  return made.after(r, once.complete(r, m)), m
end

function M.failed_by_a(over, outcome, spec)
  local r, m = M.claimed_by_a(over, spec)
  local status, final = once.fail(r, m, outcome or { exit_code = 3, error = "exit code 3" })
  return made.after(r, status), m, final
end

function M.condition(r, kind)
  return record.condition(r.status.conditions, kind)
end

return M
