--- Records made by hand or by the policy itself, for tests of decisions.

local M = {}

M.D = 15000
M.WALL = "2026-01-01T00:00:00.000000Z"

local nonces = 0

local function with(t, over)
  for key, value in pairs(over or {}) do
    t[key] = value
  end
  return t
end

--- A candidate whose session is its name; every call stands for one more write.
function M.me(name, over)
  nonces = nonces + 1
  return with({
    holder = "pod-" .. name, session = name, op = name .. ":" .. nonces, wall = M.WALL, ttl_ms = M.D,
    bound = "process",
  }, over)
end

--- A record at revision 10.
function M.rec(kind, status, over)
  return with({
    kind = kind, name = "x", uid = "u", rev = 10, created = M.WALL, age_ms = 0, spec = {}, status = status or {},
  }, over)
end

--- The record after a store has taken the status.
function M.after(r, status)
  local new = with({}, r)
  new.rev, new.status = r.rev + 1, assert(status)
  return new
end

function M.view(r, since, over)
  return with({ record = r, since = since or 0, gone = false }, over)
end

return M
